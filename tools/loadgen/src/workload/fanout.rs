//! W1, W2 and W3: sends and what becomes of them.

use anyhow::Result;

use super::{Outcome, SETUP_MAX, finish, window};
use crate::{
    bench::{Bench, RoomPlan},
    hub::{Pace, Room},
    world::{Role, World},
};

/// Members of W1's room, with the sender.
pub(super) const W1_MEMBERS: u32 = 10;
/// Members of a room of W3, and rooms of a user.
const W3_MEMBERS: usize = 4;

/// W1: one sender, its sends under way all the time.
pub(super) async fn w1(bench: &Bench, in_flight: u32) -> Result<Outcome> {
    one_room(bench, W1_MEMBERS - 1, Pace::OnAck, in_flight, None).await
}

/// W2: one sender at a fixed rate.
pub(super) async fn w2_paced(bench: &Bench, receivers: u32, rate: f64) -> Result<Outcome> {
    one_room(bench, receivers, Pace::Outside, 0, Some(rate)).await
}

/// W2: one sender; a message that all have got makes way for the next.
pub(super) async fn w2_max(bench: &Bench, receivers: u32, in_flight: u32) -> Result<Outcome> {
    one_room(bench, receivers, Pace::OnDelivered, in_flight, None).await
}

async fn one_room(bench: &Bench, receivers: u32, pace: Pace, in_flight: u32, rate: Option<f64>) -> Result<Outcome> {
    bench.check_files(receivers + 1)?;
    let users = bench.users(receivers + 1);
    let rooms = bench.create_rooms(vec![RoomPlan { owner: users[0], others: users[1..].to_vec() }]).await?;
    let mut seats = vec![bench.seat(users[0], bench.sender_role())?];
    for user in &users[1..] {
        seats.push(bench.seat(*user, Role::Events)?);
    }
    let mut hub = bench.hub(seats.len());
    hub.pace = pace;
    hub.rooms = rooms.into_iter().map(|id| Room { id, senders: vec![0], receivers }).collect();
    let world = World::new(hub, bench.address, &bench.authority);
    world.connect(seats, SETUP_MAX).await?;
    start(&world, in_flight);
    let figures = window::measure(bench, &world, rate).await;
    Ok(finish(&world, figures).await)
}

/// W3: many rooms, everyone sends and receives.
pub(super) async fn w3(bench: &Bench, rooms: u32, in_flight: u32) -> Result<Outcome> {
    bench.check_files(rooms)?;
    let users = bench.users(rooms);
    // Room i has the users i to i + 3, so every user is in four rooms.
    let members: Vec<Vec<usize>> =
        (0..users.len()).map(|i| (i..i + W3_MEMBERS).map(|m| m % users.len()).collect()).collect();
    let plans = members
        .iter()
        .map(|m| RoomPlan { owner: users[m[0]], others: m[1..].iter().map(|i| users[*i]).collect() })
        .collect();
    let ids = bench.create_rooms(plans).await?;
    // Everyone receives here, so a sender without events would lose deliveries.
    let role = if bench.args.unary { Role::Events } else { Role::Session { commands_only: false } };
    let seats = users.iter().map(|user| bench.seat(*user, role)).collect::<Result<Vec<_>>>()?;
    let mut hub = bench.hub(seats.len());
    hub.pace = Pace::OnAck;
    hub.rooms = ids.into_iter().zip(members).map(|(id, senders)| Room { id, senders, receivers: 3 }).collect();
    let world = World::new(hub, bench.address, &bench.authority);
    world.connect(seats, SETUP_MAX).await?;
    start(&world, in_flight);
    let figures = window::measure(bench, &world, None).await;
    Ok(finish(&world, figures).await)
}

/// Starts the first sends; each makes the next one.
pub(super) fn start(world: &World, in_flight: u32) {
    for _ in 0..in_flight {
        world.hub.borrow_mut().launch();
    }
    world.dispatch();
}
