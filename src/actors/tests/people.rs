//! What belongs to users: blocks, preferences, positions of others, presence, what they hide for themselves.

use super::*;
use crate::{
    actors::{stream::MomentBody, user::ListFilter},
    domain::{
        ids::MessageId,
        status::{Reached, Status},
    },
};

#[tokio::test(start_paused = true)]
async fn a_block_stops_both_sides_until_it_is_taken_back() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    town.say(ANA, room, "before").await;
    for by in [ANA, BEN] {
        let whom = if by == ANA { BEN.user } else { ANA.user };
        town.node.block(by, whom, true).await.unwrap();
        settle().await;
        for sender in [ANA, BEN] {
            assert_eq!(rejected(town.try_say(sender, room, "c", "x").await), Reject::PartnerBlocked);
        }
        town.sleep(room).await;
        assert_eq!(rejected(town.try_say(ANA, room, "c", "x").await), Reject::PartnerBlocked, "after a sleep");
        assert!(town.node.room(ANA, room).await.unwrap().blocked);
        assert_eq!(town.node.blocked_users(by).await.unwrap()[0].0, whom);
        town.node.block(by, whom, false).await.unwrap();
        settle().await;
        town.say(ANA, room, &format!("after {}", by.user)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_of_both_sides_ends_with_the_second() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    town.node.block(ANA, BEN.user, true).await.unwrap();
    town.node.block(BEN, ANA.user, true).await.unwrap();
    town.node.block(ANA, BEN.user, false).await.unwrap();
    settle().await;
    assert_eq!(rejected(town.try_say(ANA, room, "c", "x").await), Reject::PartnerBlocked);
    town.node.block(BEN, ANA.user, false).await.unwrap();
    settle().await;
    town.say(ANA, room, "free").await;
}

#[tokio::test(start_paused = true)]
async fn a_block_older_than_the_room_counts() {
    let town = Town::new().await;
    town.node.block(BEN, ANA.user, true).await.unwrap();
    let operator = Author { admin: true, ..ANA };
    let made = town.node.create_room(operator, new_room(RoomType::P2p, "", &[BEN.user])).await.unwrap();
    let room = made.0.info.id;
    assert_eq!(rejected(town.try_say(ANA, room, "c", "x").await), Reject::PartnerBlocked);
    assert!(town.node.room(ANA, room).await.unwrap().blocked);
}

/// Also in a room that sleeps: nothing that the block silences wakes it.
#[tokio::test(start_paused = true)]
async fn nobody_types_across_a_block() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    town.node.typing(BEN, room, true).await.unwrap();
    town.node.block(ANA, BEN.user, true).await.unwrap();
    settle().await;
    assert_eq!(rejected(town.node.typing(BEN, room, true).await), Reject::PartnerBlocked);
    town.sleep(room).await;
    for who in [ANA, BEN] {
        assert_eq!(rejected(town.node.typing(who, room, true).await), Reject::PartnerBlocked);
    }
    assert!(town.node.rooms().awake(room).is_none());
}

/// Who shares no room in memory is looked up in the store; a block of theirs counts at once.
#[tokio::test(start_paused = true)]
async fn presence_is_told_to_those_who_share_a_room() {
    let town = Town::new().await;
    let room = town.room(RoomType::Group, "g", &[BEN.user]).await;
    town.sleep(room).await;
    let all = [ANA.user, BEN.user, EVA.user];
    assert_eq!(town.node.watchable(ANA, &all).await.unwrap(), [ANA.user, BEN.user]);
    assert_eq!(town.node.watchable(EVA, &all).await.unwrap(), [EVA.user]);
    assert_eq!(town.node.watchable(ROOT, &all).await.unwrap(), all);
    town.node.block(BEN, ANA.user, true).await.unwrap();
    assert_eq!(town.node.watchable(ANA, &all).await.unwrap(), [ANA.user]);
}

#[tokio::test(start_paused = true)]
async fn blocks_do_not_reach_into_groups() {
    let town = Town::new().await;
    let room = town.group().await;
    town.node.block(BEN, ANA.user, true).await.unwrap();
    town.say(ANA, room, "hi all").await;
}

#[tokio::test(start_paused = true)]
async fn preferences_are_kept_and_bounded() {
    let town = Town::new().await;
    let room = town.group().await;
    let until = NOW_MS + 3_600_000;
    let (prefs, _) = town.node.set_prefs(BEN, room, Some(true), Some(until), None).await.unwrap();
    assert_eq!((prefs.pinned, prefs.muted_until_ms), (true, until));
    let (prefs, _) = town.node.set_prefs(BEN, room, None, Some(NOW_MS - 1), None).await.unwrap();
    assert_eq!((prefs.pinned, prefs.muted_until_ms), (true, 0), "a time in the past unmutes");
    let stranger = town.node.set_prefs(author(9), room, Some(true), None, None).await;
    assert_eq!(rejected(stranger), Reject::RoomNotFound);
}

#[tokio::test(start_paused = true)]
async fn receipts_follow_the_positions() {
    let town = Town::new().await;
    let room = town.group().await;
    let first = town.say(ANA, room, "first").await.message.id;
    let second = town.say(ANA, room, "second").await.message.id;
    town.node.mark(BEN, room, Some(Seq(2)), false).await.unwrap();
    town.node.mark(EVA, room, Some(Seq(3)), true).await.unwrap();
    let of = |id: MessageId| {
        let node = town.node.clone();
        async move {
            let receipts = node.receipts(ANA, id, UserId(0), 10).await.unwrap();
            let (got, read) = (Reached::Delivered, Reached::Read);
            let rows: Vec<_> =
                receipts.receipts.iter().map(|r| (r.user, r.reached >= got, r.reached >= read)).collect();
            (rows, receipts.delivered, receipts.read)
        }
    };
    assert_eq!(of(first).await, (vec![(BEN.user, true, true), (EVA.user, true, false)], 2, 1));
    assert_eq!(of(second).await, (vec![(BEN.user, false, false), (EVA.user, true, false)], 1, 0));
    town.say(BEN, room, "an answer").await;
    assert_eq!(of(second).await, (vec![(BEN.user, true, true), (EVA.user, true, false)], 2, 1), "who answers has read");
    let page = town.node.receipts(ANA, first, UserId(0), 1).await.unwrap();
    assert_eq!((page.receipts.len(), page.has_more, page.delivered), (1, true, 2));
    let page = town.node.receipts(ANA, first, BEN.user, 1).await.unwrap();
    assert_eq!((page.receipts[0].user, page.has_more), (EVA.user, false));
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_seen_by_the_room_and_told_to_the_sender() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "hi").await;
    let (mut ana, mut eva) = (town.listen(ANA).await, town.listen(EVA).await);
    town.node.mark(BEN, room, None, false).await.unwrap();
    let moved = MomentBody::Position { read: Seq(2), delivered: Seq(2) };
    // EVA has not read it yet.
    let status = Status { read_by: 1, delivered_to: 1, of: 2, ..Status::default() };
    let status = MomentBody::Status { up_to: Seq(2), status };
    for (stream, expected) in [(&mut ana, vec![moved.clone(), status]), (&mut eva, vec![moved])] {
        for body in expected {
            let Output::Moment(moment) = next(stream).await else { panic!("no moment") };
            assert_eq!((moment.user, &moment.body), (BEN.user, &body));
        }
        assert!(is_quiet(stream).await);
    }
    town.node.mark(BEN, room, None, false).await.unwrap();
    assert!(is_quiet(&mut ana).await, "reading again is no news");
}

#[tokio::test(start_paused = true)]
async fn typing_reaches_the_others() {
    let town = Town::new().await;
    let room = town.group().await;
    let (mut ana, mut ben) = (town.listen(ANA).await, town.listen(BEN).await);
    town.node.typing(BEN, room, true).await.unwrap();
    let Output::Moment(moment) = next(&mut ana).await else { panic!("no moment") };
    assert_eq!((moment.user, &moment.body), (BEN.user, &MomentBody::Typing(true)));
    assert!(is_quiet(&mut ben).await);
    assert_eq!(rejected(town.node.typing(author(9), room, true).await), Reject::RoomNotFound);

    // Who opens the room while somebody types is told.
    let late = OpenStream { room: Some(room), ..open("laptop", &[]) };
    let mut late = town.stream(ANA, late).await;
    let Output::Moment(moment) = next(&mut late).await else { panic!("no moment") };
    assert_eq!((moment.user, &moment.body), (BEN.user, &MomentBody::Typing(true)));
}

#[tokio::test(start_paused = true)]
async fn presence_is_told_to_those_who_watch() {
    let town = Town::new().await;
    let watching = OpenStream { presence_of: vec![BEN.user], ..open("phone", &[]) };
    let mut ana = town.stream(ANA, watching).await;
    let mut online = Vec::new();
    for step in 0..3 {
        let ben = (step == 1).then(|| town.listen(BEN));
        if let Some(ben) = ben {
            drop(ben.await);
        }
        settle().await;
        while let Ok(Output::Moment(moment)) = timeout(Duration::from_secs(1), next(&mut ana)).await {
            if let MomentBody::Presence { online: is } = moment.body {
                online.push(is);
            }
        }
    }
    assert_eq!(online, [false, true, false]);
    let presence = town.node.presence(&[BEN.user, ANA.user, EVA.user]).await;
    assert_eq!((presence[0].1, presence[1].1, presence[2].1), (false, true, false));
    assert!(presence[0].2.is_some(), "when they were last seen");
}

#[tokio::test(start_paused = true)]
async fn what_one_hides_is_hidden_from_one_alone() {
    let town = Town::new().await;
    let room = town.group().await;
    let message = town.say(ANA, room, "embarrassing").await.message.id;
    town.say(ANA, room, "fine").await;
    let mut tablet = town.listen(BEN).await;
    town.node.hide(BEN, message).await.unwrap();
    town.node.hide(BEN, message).await.unwrap();
    let Output::Moment(moment) = next(&mut tablet).await else { panic!("no moment") };
    assert!(matches!(moment.body, MomentBody::Hidden { id, .. } if id == message));
    assert!(is_quiet(&mut tablet).await, "hiding again is no news");
    let newest = crate::actors::ops::PageAt::Newest;
    assert_eq!(town.node.history(BEN, room, newest, 10).await.unwrap().messages.len(), 1);
    assert_eq!(town.node.history(EVA, room, newest, 10).await.unwrap().messages.len(), 2);
    assert_eq!(rejected(town.node.message(BEN, message).await), Reject::MessageNotFound);
    for room in [Some(room), None] {
        let found = town.node.search(BEN, room, "embarrassing", None, 10).await.unwrap();
        assert!(found.messages.is_empty());
        let found = town.node.search(EVA, room, "embarrassing", None, 10).await.unwrap();
        assert_eq!(found.messages.len(), 1);
    }
}

/// What is hidden stays hidden: in the room list, among the pins, and for one who left and came back.
#[tokio::test(start_paused = true)]
async fn what_one_hides_is_hidden_everywhere_and_for_good() {
    let town = Town::new().await;
    let new = NewRoom { history_visible: Some(true), ..new_room(RoomType::Group, "g", &[BEN.user, EVA.user]) };
    let room = town.node.create_room(ANA, new).await.unwrap().0.info.id;
    let older = town.say(ANA, room, "older").await.message.id;
    let newest = town.say(ANA, room, "newest").await.message.id;
    for message in [older, newest] {
        town.node.pin(ANA, message, true).await.unwrap();
    }
    let last = async |who| {
        let listed = town.node.list(who, &ListFilter::default(), "", None, 10).await.unwrap();
        let shown = town.node.room(who, room).await.unwrap().last_message.map(|m| m.id);
        assert_eq!(listed.rooms[0].last_message.as_ref().map(|m| m.id), shown);
        shown
    };
    let pins = async |who| town.node.pinned(who, room, None, 100).await.unwrap().messages.len();
    let page = async |who| town.node.history(who, room, crate::actors::ops::PageAt::Newest, 10).await.unwrap().messages;
    town.node.hide(BEN, newest).await.unwrap();
    for asleep in [false, true] {
        assert_eq!((last(BEN).await, pins(BEN).await), (Some(older), 1), "asleep: {asleep}");
        assert_eq!((last(EVA).await, pins(EVA).await), (Some(newest), 2), "asleep: {asleep}");
        if !asleep {
            town.sleep(room).await;
        }
    }
    town.node.leave(BEN, room).await.unwrap();
    town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
    assert_eq!((last(BEN).await, pins(BEN).await, page(BEN).await.len()), (Some(older), 1, 1));
    assert_eq!(rejected(town.node.message(BEN, newest).await), Reject::MessageNotFound);
    town.node.hide(BEN, older).await.unwrap();
    assert_eq!((last(BEN).await, pins(BEN).await, page(BEN).await.len()), (None, 0, 0));
}
