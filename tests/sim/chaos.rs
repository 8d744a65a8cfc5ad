//! What happens to the world: the node dies and comes back, rooms die, rooms are put to sleep, the store gets worse and
//! better.

use std::{rc::Rc, time::Duration};

use rand::{Rng, rngs::StdRng};
use tertulia::storage::layer::faulty::Faults;

use crate::world::{Phase, World};

/// Lets things happen until the run's time is over; then nothing fails any more.
pub(crate) async fn rage(world: &Rc<World>, random: &mut StdRng) {
    let end = tokio::time::Instant::now() + Duration::from_millis(world.plan.run_ms);
    let pause = random.random_range(20..600);
    while tokio::time::Instant::now() < end {
        let ms = random.random_range(1..=pause);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let what = random.random_range(0..100);
        if world.plan.calm {
            match what {
                0..60 => sleep_a_room(world, random).await,
                60..66 => {
                    world.drain_node().await;
                    come_back(world, random).await;
                }
                _ => {}
            }
            continue;
        }
        match what {
            0..25 => sleep_a_room(world, random).await,
            25..50 => kill_a_room(world, random),
            50..62 => {
                world.kill_node();
                come_back(world, random).await;
            }
            62..66 => {
                world.drain_node().await;
                come_back(world, random).await;
            }
            66..76 => world.faults.set(Faults::default()),
            76..95 => world.faults.set(world.plan.faults),
            _ => {}
        }
    }
    world.faults.set(Faults::default());
    world.enter(Phase::Settling);
}

async fn come_back(world: &Rc<World>, random: &mut StdRng) {
    let ms = random.random_range(1..200);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    world.start_node().await;
}

fn a_room(world: &World, random: &mut StdRng) -> Option<tertulia::domain::ids::RoomId> {
    let book = world.book.borrow();
    (!book.rooms.is_empty()).then(|| book.rooms[random.random_range(0..book.rooms.len())])
}

async fn sleep_a_room(world: &Rc<World>, random: &mut StdRng) {
    if let (Some(node), Some(room)) = (world.node(), a_room(world, random)) {
        let asked = node.rooms().passivate(room).await;
        world.note(format_args!("{room} is to sleep: {asked}"));
    }
}

fn kill_a_room(world: &Rc<World>, random: &mut StdRng) {
    if let (Some(node), Some(room)) = (world.node(), a_room(world, random)) {
        world.note(format_args!("{room} killed"));
        node.rooms().kill(room);
    }
}
