//! W5: the newest page of a long room.

use anyhow::{Result, bail};

use super::{Outcome, SETUP_MAX, fanout, finish, window};
use crate::{
    bench::{Bench, RoomPlan},
    hub::{Order, Pace, Room},
    world::{Role, World},
};

/// Messages of a page.
pub(super) const PAGE_LEN: u32 = 50;
/// Sends under way while the room is filled.
const FILL_IN_FLIGHT: u32 = 128;

/// W5: readers that ask again as soon as they have an answer.
pub(super) async fn w5(bench: &Bench, readers: u32, messages: u32) -> Result<Outcome> {
    bench.check_files(readers + 1)?;
    let users = bench.users(readers + 1);
    let rooms = bench.create_rooms(vec![RoomPlan { owner: users[0], others: users[1..].to_vec() }]).await?;
    let mut hub = bench.hub(users.len());
    hub.pace = Pace::OnAck;
    hub.limit = u64::from(messages);
    hub.page_len = PAGE_LEN as usize;
    hub.rooms = rooms.into_iter().map(|id| Room { id, senders: vec![0], receivers: 0 }).collect();
    let world = World::new(hub, bench.address, &bench.authority);

    world.connect(vec![bench.seat(users[0], Role::Session { commands_only: true })?], SETUP_MAX).await?;
    fanout::start(&world, FILL_IN_FLIGHT);
    let filled = world.until(SETUP_MAX, |hub| hub.unacked == 0 && hub.sent() == hub.limit).await;
    if !filled {
        let hub = world.hub.borrow();
        bail!("the room could not be filled: {} messages sent, {:?}", hub.sent(), hub.errors);
    }
    let seats = users[1..].iter().map(|user| bench.seat(*user, Role::Calls)).collect::<Result<Vec<_>>>()?;
    world.connect(seats, SETUP_MAX).await?;
    world.hub.borrow_mut().outbox.extend((1..users.len()).map(|client| (client, Order::Page)));
    world.dispatch();
    let figures = window::measure(bench, &world, None).await;
    Ok(finish(&world, figures).await)
}
