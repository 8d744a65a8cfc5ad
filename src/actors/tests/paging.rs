//! Every message is on exactly one page, whatever lies between: pages of any history equal those of a plain list, and
//! what they cost does not grow with what lies between.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    actors::ops::{Page, PageAt},
    domain::{
        event::Target,
        ids::{BodyHash, MessageId, Ordinal},
        message::{Message, Wire},
        page::{Filling, PageBound, bytes_of},
        position::RoomHead,
    },
    storage::{Projection, UserStore as _},
};

/// What happens in a room.
#[derive(Clone, Debug)]
enum Step {
    Say(bool, usize),
    /// So many events that are no messages.
    Noise(usize),
    /// To the message with this index, modulo how many there are.
    Edit(usize),
    Delete(usize),
    Pin(usize),
    /// Ben hides it.
    Hide(usize),
    /// Ben hides the newest ones.
    HideNewest(usize),
    /// Ben leaves and comes back: he sees nothing older.
    Rejoin,
    Sleep,
}

fn a_step() -> impl Strategy<Value = Step> {
    let index = 0..1_000_usize;
    prop_oneof![
        12 => (any::<bool>(), 1..3_000_usize).prop_map(|(ana, len)| Step::Say(ana, len)),
        3 => (1..150_usize).prop_map(Step::Noise),
        1 => index.clone().prop_map(Step::Edit),
        1 => index.clone().prop_map(Step::Delete),
        1 => index.clone().prop_map(Step::Pin),
        4 => index.prop_map(Step::Hide),
        1 => (1..12_usize).prop_map(Step::HideNewest),
        1 => Just(Step::Rejoin),
        1 => Just(Step::Sleep),
    ]
}

/// A room that was lived in, and what a naive reader knows of it.
struct Lived {
    room: RoomId,
    said: Vec<Arc<Message>>,
    hidden: BTreeSet<Seq>,
}

impl Lived {
    async fn new(town: &Town) -> Self {
        Self { room: town.group().await, said: Vec::new(), hidden: BTreeSet::new() }
    }

    fn message(&self, index: usize) -> Option<MessageId> {
        self.said.get(index % self.said.len().max(1)).map(|m| m.id)
    }

    async fn step(&mut self, town: &Town, step: &Step) {
        let node = &town.node;
        match step {
            Step::Say(ana, len) => {
                let (who, client_id) = (if *ana { ANA } else { EVA }, format!("{}-{}", self.room, self.said.len()));
                let ack = town.try_say(who, self.room, &client_id, &"x".repeat(*len)).await.unwrap();
                self.said.push(ack.message);
            }
            Step::Noise(events) => {
                if let Some(id) = self.message(0) {
                    for i in 0..*events {
                        // A deleted message takes no reactions: nothing happens then.
                        let _answer = node.react(EVA, id, "+1", i % 2 == 1).await;
                    }
                }
            }
            Step::Edit(index) => {
                if let Some(id) = self.message(*index) {
                    let _answer = node.edit(ANA, id, "edited", false, &[]).await;
                }
            }
            Step::Delete(index) => {
                if let Some(id) = self.message(*index) {
                    node.delete(ANA, id).await.unwrap();
                }
            }
            Step::Pin(index) => {
                if let Some(id) = self.message(*index) {
                    let _answer = node.pin(ANA, id, true).await;
                }
            }
            Step::Hide(index) => {
                if let Some(id) = self.message(*index) {
                    self.hide(town, id).await;
                }
            }
            Step::HideNewest(count) => {
                let newest: Vec<_> = self.said.iter().rev().take(*count).map(|m| m.id).collect();
                for id in newest {
                    self.hide(town, id).await;
                }
            }
            Step::Rejoin => {
                node.leave(BEN, self.room).await.unwrap();
                node.add_members(ANA, self.room, vec![BEN.user]).await.unwrap();
            }
            Step::Sleep => {
                node.rooms().passivate(self.room).await;
            }
        }
    }

    async fn hide(&mut self, town: &Town, id: MessageId) {
        // What is before his floor he cannot hide.
        if town.node.hide(BEN, id).await.is_ok() {
            let seq = self.said.iter().find(|m| m.id == id).map(|m| m.seq);
            self.hidden.extend(seq);
        }
    }

    /// All that a reader may see, in its present state, from the log alone.
    async fn visible(&self, town: &Town, who: Author) -> Vec<Message> {
        let mut floor = Seq(0);
        let mut messages: Vec<Message> = Vec::new();
        for event in town.log(self.room).await {
            match event.body {
                EventBody::Message(message) => messages.push(Message::clone(&message)),
                EventBody::Edited(edited) => {
                    if let Some(message) = messages.iter_mut().find(|m| m.seq == edited.seq && !m.deleted) {
                        message.draft = Arc::clone(&edited.draft);
                    }
                }
                EventBody::Deleted(target) => {
                    let message = messages.iter_mut().find(|m| m.seq == target.seq).unwrap();
                    *message = message.erased();
                }
                EventBody::Joined { members } if members.iter().any(|(user, _)| *user == who.user) => {
                    floor = Seq(event.seq.0 - 1);
                }
                _ => {}
            }
        }
        messages.retain(|m| m.seq > floor && (who.user != BEN.user || !self.hidden.contains(&m.seq)));
        messages
    }
}

/// What a page must hold, and whether there is more on both sides.
fn naive(all: &[Arc<Message>], at: PageAt, bound: PageBound) -> (Vec<MessageId>, bool, bool) {
    let backward = |end: usize, bound: PageBound| {
        let mut filling = Filling::new(bound);
        let first = all[..end].iter().rev().take_while(|m| filling.takes(bytes_of(m))).count();
        end - first
    };
    let forward = |start: usize, bound: PageBound| {
        let mut filling = Filling::new(bound);
        let taken = all[start..].iter().take_while(|m| filling.takes(bytes_of(m))).count();
        (start + taken, filling)
    };
    let before = |seq: Seq| all.partition_point(|m| m.seq < seq);
    let (first, last) = match at {
        PageAt::Newest => (backward(all.len(), bound), all.len()),
        PageAt::Before(seq) => (backward(before(seq), bound), before(seq)),
        PageAt::After(seq) => (before(seq.next()), forward(before(seq.next()), bound).0),
        PageAt::Around(seq) => {
            let half = bound.items / 2;
            let newer = PageBound { items: bound.items - half, bytes: bound.bytes / 2, ..bound };
            let (last, filling) = forward(before(seq), newer);
            let bytes = filling.bytes_left() + bound.bytes / 2;
            (backward(before(seq), PageBound { items: half, bytes, ..bound }), last)
        }
    };
    (all[first..last].iter().map(|m| m.id).collect(), first > 0, last < all.len())
}

fn told(page: &Page) -> (Vec<MessageId>, bool, bool) {
    (ids(&page.messages), page.has_more_before, page.has_more_after)
}

fn ids(messages: &[Arc<Message>]) -> Vec<MessageId> {
    messages.iter().map(|m| m.id).collect()
}

/// What a walk through all pages of a room in one direction meets. `by_message` goes on from the last message that it
/// got, where it got one, instead of from where the answer says.
async fn walked(
    town: &Town,
    who: Author,
    room: RoomId,
    bound: PageBound,
    back: bool,
    by_message: bool,
) -> Vec<MessageId> {
    let mut at = if back { PageAt::Newest } else { PageAt::After(Seq(0)) };
    let mut met = Vec::new();
    for _ in 0..10_000 {
        let page = town.node.history(who, room, at, bound).await.unwrap();
        let (next, end) = if back {
            met = [ids(&page.messages), met].concat();
            (page.next_before.map(PageAt::Before), page.messages.first().map(|m| PageAt::Before(m.seq)))
        } else {
            met.extend(ids(&page.messages));
            (page.next_after.map(PageAt::After), page.messages.last().map(|m| PageAt::After(m.seq)))
        };
        assert_eq!(next.is_some(), if back { page.has_more_before } else { page.has_more_after });
        let Some(next) = next else { return met };
        at = end.filter(|_| by_message).unwrap_or(next);
    }
    panic!("a walk without an end: {bound:?}");
}

/// What a walk through all pages of all rooms meets.
async fn walked_merged(town: &Town, who: Author, bound: PageBound, by_message: bool) -> Vec<MessageId> {
    let (mut before, mut met) = (None, Vec::new());
    for _ in 0..10_000 {
        let page = town.node.merged_history(who, before, bound).await.unwrap();
        met = [ids(&page.messages), met].concat();
        assert_eq!(page.next_before_id.is_some(), page.has_more_before);
        let Some(next) = page.next_before_id else { return met };
        before = Some(page.messages.first().map(|m| m.id).filter(|_| by_message).unwrap_or(next));
    }
    panic!("a merged walk without an end: {bound:?}");
}

fn on_a_paused_clock(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

async fn pages_equal_the_list(steps: &[Step], items: usize, bytes: usize) {
    let town = Town::with(|o| o.warm_messages = 10).await;
    let mut lived = Lived::new(&town).await;
    for step in steps {
        lived.step(&town, step).await;
    }
    let room = lived.room;
    let bound = PageBound { bytes, ..PageBound::from(items) };
    let end = town.log(room).await.len() as u64;
    for asleep in [false, true] {
        if asleep {
            town.node.rooms().passivate(room).await;
        } else {
            town.node.mark(ANA, room, None, false).await.unwrap();
        }
        for who in [BEN, EVA] {
            let all = lived.visible(&town, who).await;
            let present: Vec<_> = all.iter().map(|m| (m.draft.content.clone(), m.deleted)).collect();
            let (mut whole, mut shown) = (Vec::new(), Vec::new());
            for message in &all {
                let message = town.node.message(who, message.id).await.unwrap().messages.remove(0);
                shown.push((message.draft.content.clone(), message.deleted));
                whole.push(message);
            }
            assert_eq!(shown, present);
            let mut places = vec![PageAt::Newest];
            for seq in (0..=end + 2).step_by(1 + usize::try_from(end / 40).unwrap()) {
                places.extend([PageAt::Before(Seq(seq)), PageAt::After(Seq(seq)), PageAt::Around(Seq(seq))]);
            }
            for at in places {
                let page = town.node.history(who, room, at, bound).await.unwrap();
                let expected = naive(&whole, at, bound);
                assert_eq!(told(&page), expected, "{at:?} {bound:?} user {} asleep {asleep}", who.user);
            }
            for reads in [1, 4, bound.reads] {
                let bound = PageBound { reads, ..bound };
                for (back, by_message) in [(true, false), (true, true), (false, false), (false, true)] {
                    assert_eq!(walked(&town, who, room, bound, back, by_message).await, ids(&whole), "{bound:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn pages_of_any_history_are_those_of_a_list(
        steps in proptest::collection::vec(a_step(), 1..60),
        items in 1..9_usize,
        bytes in prop_oneof![Just(1_usize), 1_000..8_000_usize, Just(1 << 20)],
    ) {
        on_a_paused_clock(pages_equal_the_list(&steps, items, bytes));
    }

    #[test]
    fn merged_pages_of_any_histories_are_those_of_a_list(
        steps in proptest::collection::vec((0..4_usize, a_step()), 1..80),
        items in 1..9_usize,
        bytes in prop_oneof![Just(1_usize), 1_000..8_000_usize, Just(1 << 20)],
    ) {
        on_a_paused_clock(async {
            let town = Town::with(|o| o.warm_messages = 4).await;
            let mut rooms = Vec::new();
            for _ in 0..4 {
                rooms.push(Lived::new(&town).await);
            }
            for (room, step) in &steps {
                rooms[*room].step(&town, step).await;
            }
            for who in [BEN, EVA] {
                let mut all: Vec<MessageId> = Vec::new();
                for room in &rooms {
                    all.extend(room.visible(&town, who).await.iter().map(|m| m.id));
                }
                all.sort_unstable();
                for reads in [1, 1_000] {
                    let bound = PageBound { bytes, reads, ..PageBound::from(items) };
                    for by_message in [false, true] {
                        assert_eq!(walked_merged(&town, who, bound, by_message).await, all, "{bound:?}");
                    }
                }
            }
        });
    }
}

/// Appends to a room that sleeps, behind its writer's back, what would take its writer long. Each is a message, or an
/// event that is none.
async fn append_raw(town: &Town, room: RoomId, messages: &[bool]) -> Vec<MessageId> {
    let store = town.store.raw();
    let mut head = store.head(room).await.unwrap().unwrap();
    let epoch = store.claim(room).await.unwrap();
    let mut ids = Vec::new();
    for batch in messages.chunks(5_000) {
        let mut records = Vec::new();
        for is_message in batch {
            let seq = head.seq.next();
            let body = if *is_message {
                let message = raw_message(room, seq, Ordinal(head.n.0 + 1), head);
                ids.push(message.id);
                EventBody::Message(message)
            } else {
                let target = Target { id: head.message_id, seq: head.message_seq };
                EventBody::Reacted { target, reaction: "+1".to_owned(), removed: seq.0 % 2 == 0 }
            };
            let n = Ordinal(head.n.0 + u64::from(*is_message));
            let event = Event { room, seq, n, at_ms: NOW_MS, actor: EVA.user, body };
            head = head.after(&event);
            records.push(codec::encode_event(&event));
        }
        store.append(room, epoch, &records, &Projection { head, ..Projection::default() }).await.unwrap();
    }
    store.release(room, epoch).await.unwrap();
    ids
}

fn raw_message(room: RoomId, seq: Seq, n: Ordinal, head: RoomHead) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId(head.message_id.0 + 1),
        room,
        seq,
        n,
        sender: EVA.user,
        at_ms: NOW_MS,
        client_id: id(&format!("raw-{seq}")),
        hash: BodyHash([0; 16]),
        draft: Arc::new(text("raw")),
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted: false,
        reactions: Vec::new(),
        pinned: false,
        wire: Wire::default(),
    })
}

/// One member toggles a reaction for hours: the room's messages stay where they were, at no greater cost.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_events_between_messages_cost_few_reads() {
    let town = Town::new().await;
    let room = town.group().await;
    for i in 0..8 {
        town.say(ANA, room, &format!("m{i}")).await;
    }
    let all: Vec<_> = town.log(room).await.iter().filter_map(Event::message).map(|m| (m.id, m.seq)).collect();
    let (older, newest) = (all[..8].iter().map(|m| m.0).collect::<Vec<_>>(), all[7].1);
    town.sleep(room).await;
    append_raw(&town, room, &[false; 100_000]).await;
    let last = append_raw(&town, room, &[true]).await;
    let end = Seq(newest.0 + 100_002);
    let pages = [
        (PageAt::Newest, [&older[..], &last].concat()),
        (PageAt::Before(end), [&older[..], &last].concat()),
        (PageAt::Before(Seq(newest.0 + 60_000)), older.clone()),
        (PageAt::After(newest), last.clone()),
        (PageAt::After(Seq(newest.0 + 60_000)), last.clone()),
        (PageAt::Around(Seq(newest.0 + 50_000)), [&older[..], &last].concat()),
    ];
    // A fresh node: what this one knows of the room's head is from before.
    let node = town.another_node().await;
    town.store.cost();
    for (at, expected) in pages {
        let page = node.history(BEN, room, at, 50).await.unwrap();
        let (calls, rows) = town.store.cost();
        assert_eq!(ids(&page.messages), expected, "{at:?}");
        assert!(calls < 100 && rows < 500, "{at:?}: {calls} calls, {rows} rows");
    }
    let page = node.merged_history(BEN, None, 50).await.unwrap();
    assert_eq!(ids(&page.messages), [&older[..], &last].concat());
    let page = node.merged_history(BEN, Some(last[0]), 50).await.unwrap();
    assert_eq!(ids(&page.messages), older);
    let (calls, rows) = town.store.cost();
    assert!(calls < 200 && rows < 500, "merged: {calls} calls, {rows} rows");
}

/// Whoever has hidden thousands in a row still gets to what is before, a bounded piece a call.
#[tokio::test(start_paused = true)]
async fn ten_thousand_hidden_messages_cost_few_reads() {
    let town = Town::new().await;
    let room = town.group().await;
    for i in 0..3 {
        town.say(ANA, room, &format!("m{i}")).await;
    }
    let older: Vec<_> = town.log(room).await.iter().filter_map(Event::message).map(|m| m.id).collect();
    town.sleep(room).await;
    append_raw(&town, room, &[true; 10_000]).await;
    let node = town.another_node().await;
    let log = town.store.raw().read_log(room, Seq(0), Direction::Forward, 20_000).await.unwrap();
    let newest = log.iter().filter(|row| row.message.is_some()).skip(3).map(|row| row.seq);
    for seq in newest {
        town.store.raw().hide_message(BEN.user, room, seq).await.unwrap();
    }
    let prefs = crate::storage::RoomPrefs { hidden_messages: 10_000, ..Default::default() };
    town.store.raw().put_prefs(BEN.user, room, prefs).await.unwrap();
    town.store.cost();
    let page = node.history(BEN, room, PageAt::Newest, 50).await.unwrap();
    let (calls, rows) = town.store.cost();
    assert_eq!((ids(&page.messages), page.has_more_before), (older.clone(), false));
    assert!(calls < 100 && rows < 12_000, "{calls} calls, {rows} rows");
    let shown = node.room(BEN, room).await.unwrap().last_message.map(|m| m.id);
    let (calls, rows) = town.store.cost();
    assert!(shown.is_none() && calls < 60 && rows < 5_000, "a room list gives up sooner: {calls} calls, {rows} rows");
    let bound = PageBound { reads: 40, ..PageBound::from(50) };
    let page = node.history(BEN, room, PageAt::Newest, bound).await.unwrap();
    assert!(page.messages.is_empty() && page.has_more_before, "a page that ends early says so");
    let (calls, rows) = town.store.cost();
    assert!(calls < 60 && rows < 3_000, "{calls} calls, {rows} rows");
    let rest = node.history(BEN, room, PageAt::Before(page.next_before.unwrap()), 50).await.unwrap();
    assert_eq!(ids(&rest.messages), older, "and where to go on");
}

/// More rooms than are opened for a page.
#[tokio::test(start_paused = true)]
async fn five_hundred_rooms_give_every_message_once() {
    let town = Town::new().await;
    let mut all = Vec::new();
    let mut rooms = Vec::new();
    for i in 0..505 {
        let room = town.group().await;
        all.push(town.say(ANA, room, &format!("{i}")).await.message.id);
        rooms.push(room);
    }
    for room in rooms.iter().step_by(50) {
        all.push(town.say(ANA, *room, &format!("again {room}")).await.message.id);
        town.node.hide(BEN, *all.last().unwrap()).await.unwrap();
    }
    for room in &rooms {
        town.node.rooms().passivate(*room).await;
    }
    assert_eq!(walked_merged(&town, EVA, PageBound::from(50), true).await, all);
    all.truncate(505);
    assert_eq!(walked_merged(&town, BEN, PageBound::from(200), false).await, all);
    town.store.cost();
    let page = town.node.merged_history(BEN, None, 10).await.unwrap();
    let (calls, _) = town.store.cost();
    assert!(page.messages.len() == 10 && calls < 400, "not every room is opened: {calls} calls");
}

/// Pins that their author cannot see are not in the way.
#[tokio::test(start_paused = true)]
async fn a_pin_that_its_author_cannot_see_gives_way() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    let mut pinned = Vec::new();
    for i in 0..100 {
        let message = town.say(ANA, room, &format!("m{i}")).await.message.id;
        town.node.pin(ANA, message, true).await.unwrap();
        pinned.push(message);
    }
    let more = town.say(ANA, room, "one more").await.message.id;
    assert_eq!(rejected(town.node.pin(ANA, more, true).await), Reject::TooManyPins, "she sees them all");
    town.node.delete_room(BEN, room).await.unwrap();
    let last = town.say(ANA, room, "and another").await.message.id;
    town.node.pin(BEN, last, true).await.unwrap();
    let pins = async |who| ids(&town.node.pinned(who, room, None, 200).await.unwrap().messages);
    assert_eq!(pins(BEN).await, [last]);
    let expected: Vec<_> = [last].into_iter().chain(pinned[1..].iter().rev().copied()).collect();
    assert_eq!(pins(ANA).await, expected, "the oldest gave way");
    // The same for what one has hidden.
    town.node.hide(ANA, pinned[50]).await.unwrap();
    town.node.pin(ANA, more, true).await.unwrap();
    let expected: Vec<_> = [more, last].into_iter().chain(pinned[1..].iter().rev().copied()).collect();
    let expected: Vec<_> = expected.into_iter().filter(|id| *id != pinned[50]).collect();
    for asleep in [false, true] {
        assert_eq!(pins(ANA).await, expected, "asleep: {asleep}");
        if !asleep {
            town.sleep(room).await;
        }
    }
    assert_eq!(rejected(town.node.pin(ANA, pinned[0], true).await), Reject::TooManyPins);
}

/// Pins come in pages, each once, whatever the size of a page.
#[tokio::test(start_paused = true)]
async fn pins_come_in_pages() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut pinned = Vec::new();
    for i in 0..12 {
        let message = town.try_say(ANA, room, &format!("m{i}"), &"x".repeat(1_000)).await.unwrap().message.id;
        town.node.pin(ANA, message, true).await.unwrap();
        pinned.insert(0, message);
    }
    town.node.hide(BEN, pinned.remove(3)).await.unwrap();
    for bound in [PageBound::from(1), PageBound::from(5), PageBound { bytes: 4_500, ..PageBound::from(100) }] {
        for asleep in [false, true] {
            let (mut before, mut met, mut pages) = (None, Vec::new(), 0);
            loop {
                let page = town.node.pinned(BEN, room, before, bound).await.unwrap();
                met.extend(ids(&page.messages));
                pages += 1;
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(met, pinned, "{bound:?}");
            assert!(pages > 2, "{bound:?}: {pages} pages");
            if !asleep {
                town.node.rooms().passivate(room).await;
            }
        }
    }
}

/// Default pages of the largest messages stay below what clients take.
#[tokio::test(start_paused = true)]
async fn pages_of_largest_messages_are_bounded_in_bytes() {
    let town = Town::with(|o| o.warm_messages = 8).await;
    let mut rooms = Vec::new();
    for _ in 0..40 {
        let room = town.group().await;
        town.try_say(ANA, room, &format!("needle {room}"), &"needle ".repeat(9_000)).await.unwrap();
        rooms.push(room);
    }
    let room = rooms[0];
    for i in 0..40 {
        let sent = town.try_say(ANA, room, &format!("needle {i}"), &"needle ".repeat(9_000)).await.unwrap();
        town.node.pin(ANA, sent.message.id, true).await.unwrap();
    }
    let weight = |messages: &[Arc<Message>]| messages.iter().map(|m| bytes_of(m)).sum::<usize>();
    let max = crate::domain::page::PAGE_BYTES_MAX;
    for asleep in [false, true] {
        for at in [PageAt::Newest, PageAt::After(Seq(0)), PageAt::Around(Seq(40))] {
            let page = town.node.history(BEN, room, at, 200).await.unwrap();
            assert!(page.messages.len() > 10 && weight(&page.messages) <= max, "{at:?} asleep {asleep}");
        }
        assert!(weight(&town.node.merged_history(BEN, None, 200).await.unwrap().messages) <= max);
        let found = town.node.search(BEN, None, "needle", None, 100).await.unwrap();
        assert!(weight(&found.messages) <= max && found.next.is_some());
        assert!(weight(&town.node.pinned(BEN, room, None, 100).await.unwrap().messages) <= max);
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = town.node.list(BEN, &crate::actors::user::ListFilter::default(), "", after, 200).await.unwrap();
            let last: Vec<_> = page.rooms.iter().filter_map(|room| room.last_message.clone()).collect();
            assert!(weight(&last) <= max);
            listed.extend(page.rooms.iter().map(|room| room.info.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), 40);
        assert_eq!(listed.len(), 40, "each room once");
        town.node.rooms().passivate(room).await;
    }
    let mut from = None;
    let mut found = BTreeSet::new();
    loop {
        let page = town.node.search(BEN, Some(room), "needle", from, 100).await.unwrap();
        for message in &page.messages {
            assert!(found.insert(message.seq), "{} twice", message.seq);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 41);
}
