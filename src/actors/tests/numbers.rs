//! Unread, status and names: the same number wherever it is asked for, whether the room is awake or asleep.

use super::*;
use crate::{actors::user::ListFilter, domain::message::MessageType};

/// BEN's unread number of a room, which every answer must agree on; the room is put to sleep on the way.
async fn unread(town: &Town, room: RoomId) -> u64 {
    let mut found = Vec::new();
    for asleep in [false, true] {
        if asleep {
            town.node.rooms().passivate(room).await;
        }
        found.push(town.node.room(BEN, room).await.unwrap().unread);
        found.push(town.node.explain_unread(BEN, room, BEN.user).await.unwrap().unread.count());
        let page = town.node.list(BEN, &ListFilter::default(), "", None, 50).await.unwrap();
        assert_eq!(page.unread_total, page.rooms.iter().map(|summary| summary.unread).sum::<u64>());
        found.extend(page.rooms.iter().find(|summary| summary.info.id == room).map(|summary| summary.unread));
    }
    let position = town.node.explain_unread(BEN, room, BEN.user).await.unwrap().position;
    found.push(town.node.mark(BEN, room, Some(position.read_seq), false).await.unwrap().1);
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
    // After a restart.
    let again = town.another_node().await;
    let page = again.list(BEN, &ListFilter::default(), "", None, 50).await.unwrap();
    assert_eq!(page.unread_total, page.rooms.iter().map(|summary| summary.unread).sum::<u64>());
    assert_eq!(page.rooms.iter().find(|summary| summary.info.id == room).map(|s| s.unread), Some(found[0]));
    found[0]
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_for_all_is_not_unread() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.push(town.say(ANA, room, &format!("{i}")).await.message.id);
    }
    assert_eq!(unread(&town, room).await, 5);
    town.node.delete(ANA, ids[1]).await.unwrap();
    town.node.delete(ANA, ids[2]).await.unwrap();
    assert_eq!(unread(&town, room).await, 3);
    town.node.delete(ANA, ids[4]).await.unwrap();
    assert_eq!(unread(&town, room).await, 2);
    // Up to the second one: only one of those that are left comes after it.
    let (_, left) = town.node.mark(BEN, room, Some(Seq(3)), false).await.unwrap();
    assert_eq!((left, unread(&town, room).await), (1, 1));
    let why = town.node.explain_unread(BEN, room, BEN.user).await.unwrap().unread;
    assert_eq!((why.behind, why.uncounted, why.hidden), (3, 2, 0));
    town.node.mark(BEN, room, None, false).await.unwrap();
    assert_eq!(unread(&town, room).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_one_has_hidden_is_not_unread_for_them_alone() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut ids = Vec::new();
    for i in 0..4 {
        ids.push(town.say(ANA, room, &format!("{i}")).await.message.id);
    }
    assert_eq!(unread(&town, room).await, 4);
    town.node.hide(BEN, ids[0]).await.unwrap();
    town.node.hide(BEN, ids[2]).await.unwrap();
    assert_eq!(unread(&town, room).await, 2);
    assert_eq!(town.node.room(EVA, room).await.unwrap().unread, 4);
    // Hidden and deleted is gone once.
    town.node.delete(ANA, ids[2]).await.unwrap();
    assert_eq!(unread(&town, room).await, 2);
    assert_eq!(town.node.room(EVA, room).await.unwrap().unread, 3);
    town.node.mark(BEN, room, Some(Seq(2)), false).await.unwrap();
    assert_eq!(unread(&town, room).await, 2);
    town.say(BEN, room, "mine").await;
    assert_eq!(unread(&town, room).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_system_says_is_not_unread() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "hi").await;
    let said = Draft { message_type: MessageType::System, ..text("rain expected") };
    town.node.send(ROOT, room, said, id("s")).await.unwrap();
    assert_eq!(unread(&town, room).await, 1);
    town.say(ANA, room, "oh").await;
    assert_eq!(unread(&town, room).await, 2);
}
