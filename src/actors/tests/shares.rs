//! What a caller may cost others: rooms woken by strangers, memory of awake rooms, rows walked by one call.

use std::collections::BTreeMap;

use super::*;
use crate::{
    actors::{fair_share::Purse, ops::PageAt},
    domain::{
        ids::ExternalRef,
        room::{InfoPatch, MemberPatch},
        status::Reached,
    },
};

/// All that anybody may ask of a room and its messages.
async fn everything(town: &Town, who: Author, room: RoomId, said: &SendAck) -> BTreeMap<&'static str, Call<()>> {
    let (node, id, seq) = (&town.node, said.message.id, said.message.seq);
    let patch = || MemberPatch { nickname: Some("x".into()), ..MemberPatch::default() };
    let info = || InfoPatch { name: Some("x".into()), ..InfoPatch::default() };
    BTreeMap::from([
        ("send", town.try_say(who, room, "fresh", "hi").await.map(drop)),
        ("edit", node.edit(who, id, "other", false, &[]).await.map(drop)),
        ("delete", node.delete(who, id).await),
        ("hide", node.hide(who, id).await),
        ("react", node.react(who, id, "+", false).await.map(drop)),
        ("pin", node.pin(who, id, true).await),
        ("mark", node.mark(who, room, None, false).await.map(drop)),
        ("mark delivered", node.mark(who, room, Some(seq), true).await.map(drop)),
        ("place", node.seq_of(who, room, id).await.map(drop)),
        ("add", node.add_members(who, room, vec![UserId(50)]).await.map(drop)),
        ("remove", node.remove_members(who, room, vec![BEN.user]).await.map(drop)),
        ("change", node.change_member(who, room, who.user, patch()).await.map(drop)),
        ("update", node.update_room(who, room, info()).await.map(drop)),
        ("leave", node.leave(who, room).await),
        ("delete room", node.delete_room(who, room).await),
        ("typing", node.typing(who, room, true).await),
        ("history", node.history(who, room, PageAt::Newest, 10).await.map(drop)),
        ("message", node.message(who, id).await.map(drop)),
        ("search", node.search(who, Some(room), "hello", None, 10).await.map(drop)),
        ("participants", node.participants(who, room, UserId(0), 10, "").await.map(drop)),
        ("room", node.room(who, room).await.map(drop)),
        ("prefs", node.set_prefs(who, room, Some(true), None, None).await.map(drop)),
        ("unread", node.explain_unread(who, room, who.user).await.map(drop)),
        ("sync", node.set_sync_state(who, room, "bridge", "1").await),
    ])
}

async fn is_asleep(town: &Town) -> bool {
    town.node.rooms().all_awake().is_empty() && town.store.active_rooms(None, 10).await.unwrap().is_empty()
}

#[tokio::test(start_paused = true)]
async fn who_is_no_member_wakes_no_room() {
    let town = Town::new().await;
    let room = town.group().await;
    let said = town.say(ANA, room, "hello").await;
    town.node.remove_members(ANA, room, vec![EVA.user]).await.unwrap();
    town.sleep(room).await;
    for who in [author(9), EVA] {
        for (what, answer) in everything(&town, who, room, &said).await {
            assert!(matches!(answer, Err(CallError::Rejected(_))), "{what} of {who:?}: {answer:?}");
            assert!(is_asleep(&town).await, "{what} of {who:?} wakes the room");
        }
        let reference = Draft {
            reply_to: said.message.id,
            external: Some(ExternalRef { source: "b".into(), chat: "c".into(), message: "m".into() }),
            ..text("with references")
        };
        let refused = town.node.send(who, room, reference, id("r")).await;
        assert_eq!(rejected(refused), Reject::RoomNotFound);
        assert!(is_asleep(&town).await);
    }
    for who in [BEN, ROOT] {
        town.node.edit(who, said.message.id, "other", false, &[]).await.unwrap_err();
        assert!(!is_asleep(&town).await, "{who:?} may wake it");
        town.sleep(room).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_left_is_told_again_of_what_they_sent() {
    let town = Town::new().await;
    let room = town.group().await;
    let said = town.say(EVA, room, "bye").await;
    town.node.leave(EVA, room).await.unwrap();
    town.sleep(room).await;
    let again = town.try_say(EVA, room, "bye", "bye").await.unwrap();
    assert_eq!((again.duplicate, again.message.id), (true, said.message.id));
    assert_eq!(again.epoch, said.epoch);
    assert_eq!(rejected(town.try_say(EVA, room, "bye", "other").await), Reject::RoomNotFound);
    assert!(is_asleep(&town).await);
}

fn warm_bytes(town: &Town) -> usize {
    town.node.rooms().all_awake().iter().map(|room| room.warm().bytes()).sum()
}

#[tokio::test(start_paused = true)]
async fn rooms_used_longest_ago_give_their_messages_back_when_memory_is_short() {
    let budget = 500_000;
    let town = Town::with(|options| options.warm_node_bytes = budget).await;
    let mut rooms = Vec::new();
    for i in 0..8 {
        let room = town.group().await;
        for j in 0..10 {
            let long = format!("{i} {j} {}", "x".repeat(10_000));
            town.try_say(ANA, room, &format!("{i} {j}"), &long).await.unwrap();
        }
        // Memory is asked back at a pace.
        tokio::time::sleep(Duration::from_millis(300)).await;
        settle().await;
        assert!(warm_bytes(&town) <= budget, "{}", warm_bytes(&town));
        rooms.push(room);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tail = |room| town.node.rooms().awake(room).map(|handle| handle.read(|s| s.tail().len()));
    assert_eq!(tail(rooms[0]), Some(0), "it stays awake, without its messages");
    assert_eq!(tail(rooms[7]), Some(10), "the one just used keeps them");
    for (i, room) in rooms.into_iter().enumerate() {
        let page = town.node.history(BEN, room, PageAt::Newest, 50).await.unwrap();
        assert_eq!(page.messages.len(), 10);
        assert!(page.messages[9].draft.content.starts_with(&format!("{i} 9 ")));
        let again = town.try_say(ANA, room, &format!("{i} 3"), &page.messages[3].draft.content).await.unwrap();
        assert_eq!((again.duplicate, again.message.id), (true, page.messages[3].id));
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_of_many_members_sleep_when_memory_is_short() {
    let budget = 700_000;
    let town = Town::with(|options| options.warm_node_bytes = budget).await;
    let many: Vec<UserId> = (100..600).map(UserId).collect();
    let mut rooms = Vec::new();
    for _ in 0..8 {
        let room = town.room(RoomType::Group, "many", &many).await;
        rooms.push(room);
        tokio::time::sleep(Duration::from_secs(2)).await;
        town.say(ANA, room, &format!("hi {room}")).await;
        settle().await;
        assert!(warm_bytes(&town) <= budget, "{}", warm_bytes(&town));
    }
    assert!(town.node.rooms().awake(rooms[0]).is_none(), "used longest ago");
    assert!(town.node.rooms().awake(rooms[7]).is_some(), "just used");
    town.say(ANA, rooms[0], "back").await;
    assert_eq!(town.texts(rooms[0]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_wakes_reads_no_more_than_its_budget() {
    let budget = 100_000;
    let town = Town::with(|options| options.warm_room_bytes = budget).await;
    let room = town.group().await;
    for i in 0..60 {
        town.try_say(ANA, room, &format!("{i}"), &format!("{i} {}", "x".repeat(8_000))).await.unwrap();
    }
    for (asleep, client_id) in [(false, "59"), (true, "59"), (true, "3")] {
        if asleep {
            town.sleep(room).await;
        }
        let content = format!("{client_id} {}", "x".repeat(8_000));
        let again = town.try_say(ANA, room, client_id, &content).await.unwrap();
        assert!(again.duplicate);
        let handle = town.node.rooms().awake(room).unwrap();
        let (bytes, len) = handle.read(|s| (s.tail_bytes(), s.tail().len()));
        assert!(bytes <= budget && len >= 4, "{len} messages of {bytes} bytes");
    }
    assert_eq!(town.texts(room).await.len(), 60);
}

/// A purse that never has enough.
#[derive(Debug, Default)]
struct Empty(Mutex<u32>);

impl Purse for Empty {
    fn pay(&self, _: UserId, calls: u32) -> Duration {
        *self.0.lock() += calls;
        // Who begins owes nothing yet.
        if calls > 0 { Duration::from_secs(1) } else { Duration::ZERO }
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_ends_where_the_rate_does_and_goes_on_from_there() {
    let town = Town::new().await;
    let rooms = [town.group().await, town.group().await];
    for room in rooms {
        for i in 0..1_500 {
            let content = if i % 100 == 0 { "a needle" } else { "hay" };
            town.try_say(ANA, room, &format!("{room} {i}"), content).await.unwrap();
        }
    }
    let purse = Arc::new(Empty::default());
    town.node.charge_to(Arc::<Empty>::clone(&purse));
    let mut calls_paid = 0;
    for room in [Some(rooms[0]), None] {
        let (mut from, mut found, mut calls) = (None, Vec::new(), 0);
        loop {
            let page = town.node.search(BEN, room, "needle", from, 100).await.unwrap();
            found.extend(page.messages.iter().map(|m| (m.room, m.seq)));
            calls += 1;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let places = if room.is_some() { 15 } else { 30 };
        assert_eq!(found.len(), places);
        found.dedup();
        assert_eq!(found.len(), places, "each once");
        assert!(calls > 2, "{calls} calls");
        // Each but the last one ended because it cost more than a call.
        calls_paid += calls - 1;
    }
    assert!(*purse.0.lock() >= calls_paid, "{} of {calls_paid}", purse.0.lock());
}

#[tokio::test(start_paused = true)]
async fn members_are_found_by_name_page_by_page_whatever_a_page_may_cost() {
    let town = Town::new().await;
    let many: Vec<UserId> = (10..2_510).map(UserId).collect();
    let room = town.room(RoomType::Channel, "many", &many[..900]).await;
    for more in many[900..].chunks(900) {
        town.node.add_members(ANA, room, more.to_vec()).await.unwrap();
    }
    for user in &many {
        let name = if user.0 % 500 == 0 { "Zoë" } else { "Someone" };
        town.node.seen(*user, name, "").await.unwrap();
    }
    let purse = Arc::new(Empty::default());
    town.node.charge_to(Arc::<Empty>::clone(&purse));
    for asleep in [false, true] {
        if asleep {
            town.sleep(room).await;
        }
        let (mut after, mut found, mut short) = (UserId(0), Vec::new(), 0);
        loop {
            let page = town.node.participants(ANA, room, after, 3, "zoe").await.unwrap();
            assert!(page.people.len() <= 3);
            assert_eq!(page.members, 2_501);
            found.extend(page.people.iter().map(|person| person.user.0));
            let Some(next) = page.next else { break };
            assert!(next > after, "every page goes on");
            short += usize::from(page.people.len() < 3);
            after = next;
        }
        assert_eq!(found, [500, 1_000, 1_500, 2_000, 2_500], "each once");
        assert!(short > 1, "a page ends where the rate does, also without a full page");
        let whole = town.node.participants(ANA, room, UserId(0), 1_000, "").await.unwrap();
        assert_eq!(whole.people.len(), 1_000);
        assert_eq!(whole.next, Some(whole.people[999].user));
        let last = town.node.participants(ANA, room, UserId(2_500), 9, "").await.unwrap();
        assert_eq!((last.people.len(), last.next), (9, None));
    }
    assert!(*purse.0.lock() > 10);
}

#[tokio::test(start_paused = true)]
async fn receipts_of_a_large_room_are_counted_once_in_a_while() {
    let town = Town::new().await;
    let many: Vec<UserId> = (10..5_210).map(UserId).collect();
    let room = town.room(RoomType::Channel, "many", &many[..900]).await;
    for more in many[900..].chunks(900) {
        town.node.add_members(ANA, room, more.to_vec()).await.unwrap();
    }
    let said = town.say(ANA, room, "hello").await;
    let receipts = async |after: i64| town.node.receipts(ANA, said.message.id, UserId(after), 100).await.unwrap();
    let read = |user: UserId| town.node.mark(Author { user, admin: false }, room, None, false);
    read(many[0]).await.unwrap();
    let first = receipts(0).await;
    assert_eq!((first.read, first.delivered, first.receipts.len(), first.has_more), (1, 1, 100, true));
    assert!(first.receipts[0].reached == Reached::Read && first.receipts[1].reached != Reached::Read);
    let purse = Arc::new(Empty::default());
    town.node.charge_to(Arc::<Empty>::clone(&purse));
    read(many[1]).await.unwrap();
    let second = receipts(0).await;
    assert_eq!(second.read, 1, "as of a moment ago");
    assert!(second.receipts[1].reached == Reached::Read, "the page itself is of now");
    assert_eq!(*purse.0.lock(), 0, "and costs no more than a page");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(receipts(0).await.read, 2);
    assert!(*purse.0.lock() >= 19, "the members were walked");
    let last = receipts(5_208).await;
    assert_eq!((last.receipts.len(), last.has_more), (1, false));
}

#[tokio::test(start_paused = true)]
async fn who_wakes_a_large_room_pays_for_reading_it() {
    let town = Town::new().await;
    let many: Vec<UserId> = (10..910).map(UserId).collect();
    let room = town.room(RoomType::Channel, "many", &many).await;
    let purse = Arc::new(Empty::default());
    town.node.charge_to(Arc::<Empty>::clone(&purse));
    let read = || town.node.mark(BEN_OF_MANY, room, None, false);
    read().await.unwrap();
    assert_eq!(*purse.0.lock(), 0, "it is awake");
    town.sleep(room).await;
    read().await.unwrap();
    assert_eq!(*purse.0.lock(), 3, "901 members");
}

const BEN_OF_MANY: Author = author(11);
