//! W4: clients that are connected and do nothing.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::sleep;

use super::{Outcome, SETUP_MAX, fanout, finish, window};
use crate::{
    bench::{Bench, RoomPlan},
    hub::Room,
    procfs,
    tally::Figures,
    world::{Role, World},
};

/// Members of a room.
pub(super) const ROOM_LEN: usize = 50;
/// Lets the server finish what making rooms or connecting has left behind.
const SETTLE: Duration = Duration::from_secs(2);

/// W4: memory of the server for each connection; then one message in every room shows that all of them live.
pub(super) async fn w4(bench: &Bench, clients: u32) -> Result<Outcome> {
    bench.check_files(clients)?;
    let users = bench.users(clients);
    let indices: Vec<usize> = (0..users.len()).collect();
    // The last room takes a remainder of one, which is too small for a room of its own.
    let mut members: Vec<Vec<usize>> = indices.chunks(ROOM_LEN).map(<[usize]>::to_vec).collect();
    if members.len() > 1
        && let Some(last) = members.pop_if(|m| m.len() == 1)
        && let Some(m) = members.last_mut()
    {
        m.extend(last);
    }
    let plans = members
        .iter()
        .map(|m| RoomPlan { owner: users[m[0]], others: m[1..].iter().map(|i| users[*i]).collect() })
        .collect();
    let rooms = bench.create_rooms(plans).await?;
    let seats = users.iter().map(|user| bench.seat(*user, Role::Events)).collect::<Result<Vec<_>>>()?;
    let mut hub = bench.hub(seats.len());
    hub.rooms = rooms
        .into_iter()
        .zip(&members)
        .map(|(id, m)| Room { id, senders: vec![m[0]], receivers: u32::try_from(m.len() - 1).unwrap_or(0) })
        .collect();
    let world = World::new(hub, bench.address, &bench.authority);

    sleep(SETTLE).await;
    let before = rss_kib(bench)?;
    world.connect(seats, SETUP_MAX).await?;
    sleep(SETTLE).await;
    let mut figures = window::measure(bench, &world, None).await;
    let after = rss_kib(bench)?;
    figures.insert("rss_before_mib", before / 1_024.0);
    figures.insert("rss_after_mib", after / 1_024.0);
    figures.insert("rss_kib_per_conn", (after - before) / f64::from(clients));
    prove(bench, &world, &mut figures).await;
    Ok(finish(&world, figures).await)
}

/// Sends one message in each room; all but its sender must get it.
async fn prove(bench: &Bench, world: &World, figures: &mut Figures) {
    let rooms = {
        let mut hub = world.hub.borrow_mut();
        hub.running = true;
        hub.rooms.len()
    };
    fanout::start(world, u32::try_from(rooms).unwrap_or(u32::MAX));
    let expected = world.hub.borrow().undelivered;
    window::drain(bench, world).await;
    let reached = expected - world.hub.borrow().undelivered;
    figures.insert("clients_reached", reached as f64 + rooms as f64);
}

fn rss_kib(bench: &Bench) -> Result<f64> {
    procfs::rss_kib(&bench.pids).ok_or_else(|| anyhow!("the server's process is not known: give --server-pid"))
}
