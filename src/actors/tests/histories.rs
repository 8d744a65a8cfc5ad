//! History and search: pages equal what a naive reading of the log says, awake or asleep, warm or cold.

use std::sync::Arc;

use super::*;
use crate::{
    actors::ops::{Page, PageAt},
    domain::message::Message,
};

/// A group in which messages and other events take turns, with BEN joining in the middle.
async fn lived(town: &Town, room_type: RoomType) -> (RoomId, u64) {
    let room = town.room(room_type, "a", &[EVA.user]).await;
    let mut joined = 0;
    for i in 0..40 {
        let ack = town.say(ANA, room, &format!("m{i}")).await;
        if i % 3 == 0 {
            town.node.react(ANA, ack.message.id, "+1", false).await.unwrap();
        }
        if i == 20 {
            town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
            joined = ack.message.seq.0 + 1;
        }
    }
    (room, joined)
}

/// The messages a reader may see, in order.
async fn visible(town: &Town, room: RoomId, floor: u64) -> Vec<Seq> {
    let log = town.log(room).await;
    let messages = log.iter().filter_map(Event::message);
    messages.map(|m| m.seq).filter(|seq| seq.0 > floor).collect()
}

fn naive(all: &[Seq], at: PageAt, limit: usize) -> (Vec<Seq>, bool, bool) {
    let (first, last) = match at {
        PageAt::Newest => (all.len().saturating_sub(limit), all.len()),
        PageAt::Before(seq) => {
            let end = all.partition_point(|s| *s < seq);
            (end.saturating_sub(limit), end)
        }
        PageAt::After(seq) => {
            let start = all.partition_point(|s| *s <= seq);
            (start, (start + limit).min(all.len()))
        }
        PageAt::Around(seq) => {
            let middle = all.partition_point(|s| *s < seq);
            (middle.saturating_sub(limit / 2), (middle + limit - limit / 2).min(all.len()))
        }
    };
    (all[first..last].to_vec(), first > 0, last < all.len())
}

fn told(page: &Page) -> (Vec<Seq>, bool, bool) {
    let seqs = page.messages.iter().map(|m| m.seq).collect();
    (seqs, page.has_more_before, page.has_more_after)
}

async fn pages_equal_the_log(room_type: RoomType, floor_at_join: bool) {
    let town = Town::with(|o| o.warm_messages = 10).await;
    let (room, joined) = lived(&town, room_type).await;
    let ben = visible(&town, room, if floor_at_join { joined - 1 } else { 0 }).await;
    let eva = visible(&town, room, 0).await;
    let end = town.log(room).await.len() as u64;
    for asleep in [false, true] {
        if asleep {
            town.sleep(room).await;
        }
        for (who, all) in [(BEN, &ben), (EVA, &eva)] {
            for limit in [1, 2, 7, 50] {
                let mut places = vec![PageAt::Newest];
                for seq in 1..=end + 2 {
                    places.extend([PageAt::Before(Seq(seq)), PageAt::After(Seq(seq - 1)), PageAt::Around(Seq(seq))]);
                }
                for at in places {
                    let page = town.node.history(who, room, at, limit).await.unwrap();
                    let expected = naive(all, at, limit);
                    assert_eq!(told(&page), expected, "{at:?} limit {limit} user {} asleep {asleep}", who.user);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_equal_the_log_in_a_group() {
    pages_equal_the_log(RoomType::Group, true).await;
}

#[tokio::test(start_paused = true)]
async fn pages_equal_the_log_in_a_channel() {
    pages_equal_the_log(RoomType::Channel, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_shows_the_present_state_wherever_it_comes_from() {
    let town = Town::with(|o| o.warm_messages = 2).await;
    let room = town.group().await;
    let mut ids = Vec::new();
    for i in 0..6 {
        ids.push(town.say(ANA, room, &format!("m{i}")).await.message.id);
    }
    for id in &ids {
        town.node.edit(ANA, *id, "edited", false, &[]).await.unwrap();
        town.node.react(BEN, *id, "+1", false).await.unwrap();
    }
    town.node.delete(ANA, ids[0]).await.unwrap();
    town.node.pin(ANA, ids[1], true).await.unwrap();
    for asleep in [false, true] {
        if asleep {
            town.sleep(room).await;
        }
        let page = town.node.history(BEN, room, PageAt::Newest, 10).await.unwrap();
        assert!(page.messages[0].deleted && page.messages[0].draft.content.is_empty());
        for message in &page.messages[1..] {
            assert_eq!(message.draft.content, "edited");
            assert_eq!(message.reactions, [(String::from("+1"), 1)]);
        }
        assert!(page.messages[1].pinned);
        let pinned = town.node.pinned(BEN, room, None, 100).await.unwrap().messages;
        assert_eq!(pinned.iter().map(|m| m.id).collect::<Vec<_>>(), [ids[1]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_text_is_in_no_row() {
    let town = Town::new().await;
    let room = town.group().await;
    let sent = town.try_say(ANA, room, "c", "the secret").await.unwrap();
    let id = sent.message.id;
    town.node.edit(ANA, id, "another secret", false, &[]).await.unwrap();
    town.node.delete(ANA, id).await.unwrap();
    let records = town.store.read_log(room, Seq(0), Direction::Forward, 100).await.unwrap();
    let states = town.store.message_states(room, Seq(0), Seq(100)).await.unwrap();
    let bodies = records.iter().map(|r| &r.body).chain(states.iter().map(|(_, body)| body));
    for body in bodies {
        assert!(!body.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[tokio::test(start_paused = true)]
async fn merged_history_is_all_rooms_by_time() {
    let town = Town::with(|o| o.warm_messages = 4).await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(town.group().await);
    }
    let mut all: Vec<Arc<Message>> = Vec::new();
    for i in 0..60_usize {
        let room = rooms[(i * i + i / 7) % 5];
        all.push(town.say(ANA, room, &format!("m{i}")).await.message);
        tokio::time::sleep(Duration::from_millis(u64::try_from(i % 3).unwrap())).await;
    }
    let ids: Vec<_> = all.iter().map(|m| m.id).collect();
    let mut before = None;
    let mut seen = Vec::new();
    loop {
        let page = town.node.merged_history(BEN, before, 7).await.unwrap();
        let mut page_ids: Vec<_> = page.messages.iter().map(|m| m.id).collect();
        before = page_ids.first().copied();
        page_ids.extend(seen);
        seen = page_ids;
        if !page.has_more_before {
            break;
        }
        assert_eq!(page.messages.len(), 7);
    }
    assert_eq!(seen, ids);
}

#[tokio::test(start_paused = true)]
async fn search_finds_text_newest_first_in_pages() {
    let town = Town::with(|o| o.warm_messages = 4).await;
    let room = town.group().await;
    for i in 0..30 {
        let content = if i % 3 == 0 { format!("Canción {i}") } else { format!("ruido {i}") };
        town.say(ANA, room, &content).await;
    }
    let secret = Draft { encrypted: true, ..text("enc:CANCION sealed") };
    town.node.send(ANA, room, secret, id("sealed")).await.unwrap();
    let mut from = None;
    let mut found = Vec::new();
    loop {
        let page = town.node.search(BEN, Some(room), "cancion", from, 4).await.unwrap();
        found.extend(page.messages.iter().map(|m| m.draft.content.clone()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let mut expected = vec![String::from("enc:CANCION sealed")];
    expected.extend((0..30).rev().filter(|i| i % 3 == 0).map(|i| format!("Canción {i}")));
    assert_eq!(found, expected);
    assert_eq!(rejected(town.node.search(author(9), Some(room), "cancion", None, 4).await), Reject::RoomNotFound);
    let short = town.node.search(BEN, Some(room), "c", None, 4).await;
    assert!(matches!(rejected(short), Reject::Invalid { field: "query", .. }));
}

#[tokio::test(start_paused = true)]
async fn search_over_all_rooms_passes_over_those_that_are_gone() {
    let town = Town::new().await;
    let mut rooms = Vec::new();
    for i in 0..4 {
        let room = town.group().await;
        town.say(ANA, room, &format!("needle {i}")).await;
        rooms.push(room);
    }
    rooms.sort_unstable();
    town.node.search(BEN, None, "needle", None, 10).await.unwrap();
    town.node.delete_room(ANA, rooms[0]).await.unwrap();
    let mut from = None;
    let mut found = 0;
    loop {
        let page = town.node.search(BEN, None, "needle", from, 2).await.unwrap();
        found += page.messages.len();
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found, 3);
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_group_late_sees_nothing_older() {
    let town = Town::new().await;
    let (room, joined) = lived(&town, RoomType::Group).await;
    let log = town.log(room).await;
    for message in log.iter().filter_map(Event::message) {
        let seen = town.node.message(BEN, message.id).await;
        assert_eq!(seen.is_ok(), message.seq.0 > joined, "{}", message.seq);
    }
    let found = town.node.search(BEN, Some(room), "m1", None, 100).await.unwrap();
    assert!(found.messages.iter().all(|m| m.seq.0 > joined));
}
