//! Unread, status and names: the same number wherever it is asked for, whether the room is awake or asleep.

use super::*;
use crate::{
    actors::{ops::RoomSummary, stream::MomentBody, user::ListFilter},
    domain::{
        message::{Message, MessageType},
        profile::{Said, Stamp},
        status::{Reached, Status},
    },
};

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

/// How far a message of ANA's has come; the room is put to sleep on the way.
async fn status(town: &Town, room: RoomId, message: &Arc<Message>) -> Status {
    let mut found = Vec::new();
    for asleep in [false, true] {
        if asleep {
            town.node.rooms().passivate(room).await;
        }
        let statuses = town.node.statuses(ANA, std::slice::from_ref(message)).await.unwrap();
        found.push(statuses.of(message).unwrap());
    }
    assert_eq!(found[0], found[1]);
    found[0]
}

#[tokio::test(start_paused = true)]
async fn a_status_is_moved_by_those_who_count_alone() {
    let town = Town::new().await;
    let room = town.group().await;
    let sent = town.say(ANA, room, "hi").await.message;
    let reached = async || status(&town, room, &sent).await.reached;
    assert_eq!(reached().await, Reached::Sent);
    town.say(BEN, room, "answered").await;
    town.node.mark(EVA, room, Some(sent.seq), true).await.unwrap();
    let now = status(&town, room, &sent).await;
    assert_eq!((now.reached, now.delivered_to, now.read_by, now.of), (Reached::Delivered, 2, 1, 2));
    town.node.mark(EVA, room, None, false).await.unwrap();
    assert_eq!(reached().await, Reached::Read);
    town.node.add_members(ANA, room, vec![UserId(4)]).await.unwrap();
    assert_eq!(reached().await, Reached::Read, "who joins later does not count");
    town.node.mark(author(4), room, None, false).await.unwrap();
    assert_eq!(status(&town, room, &sent).await.read_by, 2);
    town.node.leave(BEN, room).await.unwrap();
    town.node.leave(EVA, room).await.unwrap();
    assert_eq!(reached().await, Reached::Read, "who leaves takes nothing away");
    assert_eq!(status(&town, room, &sent).await.of, 0);
    let others = town.node.statuses(EVA, std::slice::from_ref(&sent)).await.unwrap();
    assert!(others.of(&sent).is_none(), "not her message");
}

#[tokio::test(start_paused = true)]
async fn clearing_a_chat_does_not_take_a_status_back() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    let read = town.say(ANA, room, "read").await.message;
    town.node.mark(BEN, room, None, false).await.unwrap();
    let unread = town.say(ANA, room, "not read").await.message;
    town.node.delete_room(BEN, room).await.unwrap();
    assert_eq!(status(&town, room, &read).await.reached, Reached::Read);
    assert_eq!(status(&town, room, &unread).await.reached, Reached::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_sender_hears_of_each_reader_and_of_the_last_one() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "hi").await;
    let mut ana = town.listen(ANA).await;
    let heard = async |ana: &mut StreamReader| loop {
        if let Output::Moment(moment) = next(ana).await
            && let MomentBody::Status { up_to, status } = &moment.body
        {
            return (moment.user, up_to.0, status.reached, status.read_by, status.of);
        }
    };
    town.node.mark(BEN, room, None, false).await.unwrap();
    assert_eq!(heard(&mut ana).await, (BEN.user, 2, Reached::Sent, 1, 2));
    town.say(EVA, room, "who answers has read").await;
    assert_eq!(heard(&mut ana).await, (EVA.user, 2, Reached::Read, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn in_a_room_of_many_a_status_says_what_is_true_at_least() {
    let town = Town::with(|options| options.members_max = 6_000).await;
    let room = town.group().await;
    for hundred in 0..51 {
        let users = (0..100).map(|i| UserId(1_000 + hundred * 100 + i)).collect();
        town.node.add_members(ANA, room, users).await.unwrap();
    }
    let sent = town.say(ANA, room, "hi").await.message;
    let before = status(&town, room, &sent).await;
    assert_eq!((before.reached, before.at_least), (Reached::Sent, true));
    town.node.mark(BEN, room, None, false).await.unwrap();
    let after = status(&town, room, &sent).await;
    assert_eq!((after.reached, after.read_by, after.of, after.at_least), (Reached::Read, 1, 4_999, true));
}

fn names(rooms: &[RoomSummary]) -> Vec<&str> {
    rooms.iter().map(|room| room.info.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_room_that_moves_between_two_pages_is_on_one_of_them() {
    let town = Town::new().await;
    let mut rooms = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        rooms.push(town.room(RoomType::Group, name, &[BEN.user]).await);
        town.say(ANA, rooms[rooms.len() - 1], name).await;
    }
    let page = async |after| town.node.list(BEN, &ListFilter::default(), "", after, 2).await.unwrap();
    let first = page(None).await;
    assert_eq!(names(&first.rooms), ["e", "d"]);
    // One that was to come, and one that was there.
    town.say(ANA, rooms[0], "again a").await;
    town.say(ANA, rooms[4], "again e").await;
    let second = page(first.next).await;
    assert_eq!(names(&second.rooms), ["c", "b"]);
    let third = page(second.next).await;
    assert_eq!((names(&third.rooms), third.next), (vec!["a", "e"], None));
    assert_eq!(third.unread_total, 7);
}

#[tokio::test(start_paused = true)]
async fn what_older_tokens_say_changes_no_name() {
    let town = Town::new().await;
    let said = |name: &str, issued_at_ms: i64| Said {
        name: (!name.is_empty()).then(|| name.to_owned()),
        picture: None,
        stamp: Stamp { issued_at_ms, expires_at_ms: issued_at_ms + 1 },
    };
    let shown = async |node: &Node| node.profiles(&[BEN.user]).await.unwrap()[0].name.clone();
    for (name, issued, expected) in [("old", 10, "old"), ("new", 20, "new"), ("old", 10, "new"), ("", 30, "new")] {
        assert_eq!(town.node.heard(BEN.user, &said(name, issued)).await.unwrap(), expected);
        assert_eq!(shown(&town.node).await, expected);
    }
    // Another node, and a restart, know which is newer.
    let other = town.another_node().await;
    assert_eq!(other.heard(BEN.user, &said("older", 15)).await.unwrap(), "new");
    assert_eq!(shown(&other).await, "new");
    // What a node wrote over it that did not know better is put right.
    let stale = codec::with_names(&[], &Default::default()).unwrap();
    crate::storage::UserStore::put_profile(&*town.store, BEN.user, stale).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(town.node.heard(BEN.user, &said("new", 20)).await.unwrap(), "new");
    assert_eq!(shown(&town.another_node().await).await, "new");
}
