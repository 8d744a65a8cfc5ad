//! A part of the store that does not answer: who waits for it, and who does not.

use tokio::time::Instant;

use super::*;
use crate::{
    actors::ops::Device,
    domain::profile::{Said, Stamp},
};

/// Longer than anything takes that does not wait for the store.
const SOON: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_room_of_those_who_block_one_another() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    town.sleep(room).await;
    let claims = town.store.hold_claims();
    let node = town.node.clone();
    let blocking = spawn(async move { node.block(ANA, BEN.user, true).await });
    settle().await;
    // Everybody is somebody whose number leaves the same rest as hers.
    for user in 2..=200 {
        let device = Device { client_id: "phone".into(), token: "t".into(), platform: 1, registered_at_ms: 0 };
        let registered = timeout(SOON, town.node.register_device(author(user), device)).await;
        registered.unwrap_or_else(|_| panic!("{user} waits for a room of others")).unwrap();
    }
    assert!(!blocking.is_finished(), "the room is being woken");
    assert_eq!(town.node.blocked_users(ANA).await.unwrap()[0].0, BEN.user, "the block holds already");
    claims.add_permits(1);
    blocking.await.unwrap().unwrap();
    settle().await;
    assert_eq!(rejected(town.try_say(ANA, room, "c", "x").await), Reject::PartnerBlocked);
}

/// What the room was told last is what holds, whoever came first.
#[tokio::test(start_paused = true)]
async fn blocks_that_race_for_a_room_that_wakes_end_as_the_last_one_says() {
    for last in [true, false] {
        let town = Town::new().await;
        let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
        town.node.block(ANA, BEN.user, last).await.unwrap();
        town.sleep(room).await;
        let claims = town.store.hold_claims();
        let mut racing = Vec::new();
        for blocked in [!last, last, !last, last] {
            let node = town.node.clone();
            racing.push(spawn(async move { node.block(ANA, BEN.user, blocked).await }));
            settle().await;
        }
        claims.add_permits(1);
        for block in racing {
            block.await.unwrap().unwrap();
        }
        settle().await;
        let said = town.try_say(BEN, room, "c", "x").await;
        assert_eq!(said.is_err(), last);
        assert_eq!(town.node.room(BEN, room).await.unwrap().blocked, last);
    }
}

fn said(name: &str) -> Said {
    let stamp = Stamp { issued_at_ms: NOW_MS, expires_at_ms: NOW_MS + 1 };
    Said { name: Some(name.to_owned()), picture: None, stamp }
}

/// How long a user who has come waits to be let in.
async fn comes(node: &Node, user: i64) -> Duration {
    let came = Instant::now();
    assert_eq!(node.heard(UserId(user), &said(&format!("user {user}"))).await.unwrap(), format!("user {user}"));
    came.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_writes_no_names_costs_one_wait() {
    let town = Town::new().await;
    town.store.silent_on_names(true);
    let once = Duration::from_secs(1) + SOON;
    // All at once, and all with the same lock.
    let waits = futures_util::future::join_all((1..=20).map(|n| comes(&town.node, n * 32))).await;
    assert!(waits.iter().all(|wait| *wait <= once), "{waits:?}");
    // One after the other.
    let waits: Vec<Duration> = futures_util::StreamExt::collect(futures_util::StreamExt::then(
        futures_util::stream::iter(1_001..=1_050),
        |user| comes(&town.node, user),
    ))
    .await;
    assert!(waits.iter().all(|wait| wait.is_zero()), "{waits:?}");
    // For as long as it lasts somebody tries now and then, and nobody waits behind them.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let waits = futures_util::future::join_all((1..=20).map(|n| comes(&town.node, 2_000 + n * 32))).await;
    assert!(waits.iter().filter(|wait| !wait.is_zero()).count() == 1, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn names_that_were_not_written_are_written_later() {
    let town = Town::new().await;
    town.store.silent_on_names(true);
    comes(&town.node, 7).await;
    comes(&town.node, 8).await;
    town.store.silent_on_names(false);
    let stored = async || town.another_node().await.profiles(&[UserId(7), UserId(8)]).await.unwrap();
    assert!(stored().await.iter().all(|profile| profile.name.is_empty()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    comes(&town.node, 7).await;
    comes(&town.node, 8).await;
    let names: Vec<String> = stored().await.into_iter().map(|profile| profile.name).collect();
    assert_eq!(names, ["user 7", "user 8"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    comes(&town.node, 9).await;
    assert_eq!(town.another_node().await.profiles(&[UserId(9)]).await.unwrap()[0].name, "user 9", "at once again");
}
