//! What a stream shows of a room is what its reader may see of it: live and from the log, awake and asleep.

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    actors::{ops::PageAt, stream::MomentBody},
    domain::{
        ids::{Epoch, MessageId},
        room::{InfoPatch, RoomState},
        view::Seen,
    },
    storage::RoomStore as _,
};

const NEW: Author = author(7);

/// The next events of a stream as its reader sees them.
async fn seen(reader: &mut StreamReader, count: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match next(reader).await {
            Output::Batch(batch) => seen.extend(batch.events.iter().map(|e| Seen::Whole(e.as_ref().clone()))),
            Output::Events(read) => seen.extend(read),
            Output::Moment(_) => {}
            other => panic!("after {} events: {other:?}", seen.len()),
        }
    }
    seen
}

/// (seq, whether it is told what happened).
fn shown(seen: &[Seen]) -> Vec<(u64, bool)> {
    seen.iter().map(|seen| (seen.seq().0, seen.event().is_some())).collect()
}

/// Edits, reacts to, pins, unpins and deletes a message: five events.
async fn disturb(town: &Town, message: MessageId) {
    town.node.edit(ANA, message, "the secret, edited", false, &[]).await.unwrap();
    town.node.react(ANA, message, "+1", false).await.unwrap();
    town.node.pin(ANA, message, true).await.unwrap();
    town.node.pin(ANA, message, false).await.unwrap();
    town.node.delete(ANA, message).await.unwrap();
}

async fn set_visible(town: &Town, room: RoomId, visible: bool) {
    let patch = InfoPatch { history_visible: Some(visible), ..InfoPatch::default() };
    town.node.update_room(ANA, room, patch).await.unwrap();
}

/// What is told of five events after `after`: to one who sees the message, and to one who does not.
fn five(after: u64, is_told: bool) -> Vec<(u64, bool)> {
    (after + 1..=after + 5).map(|seq| (seq, is_told)).collect()
}

#[tokio::test(start_paused = true)]
async fn of_a_message_from_before_they_came_nobody_is_told() {
    let town = Town::new().await;
    let room = town.group().await;
    let old = town.say(ANA, room, "the secret").await.message.id;
    let joined = 3;
    town.node.add_members(ANA, room, vec![NEW.user]).await.unwrap();
    let mut newcomer = town.listen(NEW).await;
    let mut ben = town.stream(BEN, open("phone", &[(room, joined)])).await;
    disturb(&town, old).await;
    assert_eq!(shown(&seen(&mut newcomer, 5).await), five(joined, false), "live");
    assert_eq!(shown(&seen(&mut ben, 5).await), five(joined, true), "live, to one who sees it");
    for asleep in [false, true] {
        if asleep {
            town.sleep(room).await;
        }
        let mut resumed = town.stream(NEW, open("tablet", &[(room, joined)])).await;
        assert_eq!(shown(&seen(&mut resumed, 5).await), five(joined, false), "resumed, asleep: {asleep}");
    }
    let later = town.say(ANA, room, "for all").await.message;
    assert_eq!(shown(&seen(&mut newcomer, 1).await), [(later.seq.0, true)]);
    town.node.react(ANA, later.id, "+1", false).await.unwrap();
    assert_eq!(shown(&seen(&mut newcomer, 1).await), [(later.seq.0 + 1, true)], "what they see is told in full");
}

#[tokio::test(start_paused = true)]
async fn of_a_cleared_message_its_reader_is_told_nothing() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    let old = town.say(ANA, room, "the secret").await.message.id;
    let mut phone = town.listen(BEN).await;
    let mut ana = town.listen(ANA).await;
    town.node.delete_room(BEN, room).await.unwrap();
    disturb(&town, old).await;
    assert_eq!(shown(&seen(&mut phone, 5).await), five(2, false), "live");
    assert_eq!(shown(&seen(&mut ana, 5).await), five(2, true), "the other side has not cleared it");
    let mut resumed = town.stream(BEN, open("tablet", &[(room, 2)])).await;
    assert_eq!(shown(&seen(&mut resumed, 5).await), five(2, false), "resumed");
}

#[tokio::test(start_paused = true)]
async fn of_a_message_deleted_for_oneself_no_device_is_told() {
    let town = Town::new().await;
    let room = town.group().await;
    set_visible(&town, room, true).await;
    let message = town.say(ANA, room, "the secret").await.message.id;
    let fine = town.say(ANA, room, "fine").await.message.id;
    let (mut phone, mut tablet) = (town.listen(BEN).await, town.stream(BEN, open("tablet", &[(room, 4)])).await);
    town.node.hide(BEN, message).await.unwrap();
    disturb(&town, message).await;
    for device in [&mut phone, &mut tablet] {
        assert_eq!(shown(&seen(device, 5).await), five(4, false), "live");
    }
    town.node.react(ANA, fine, "+1", false).await.unwrap();
    assert_eq!(shown(&seen(&mut phone, 1).await), [(10, true)], "another message is told of");
    let mut resumed = town.stream(BEN, open("laptop", &[(room, 2)])).await;
    let told = shown(&seen(&mut resumed, 8).await);
    let expected: Vec<(u64, bool)> = (3..=10).map(|seq| (seq, seq == 4 || seq == 10)).collect();
    assert_eq!(told, expected, "resumed");
}

/// What was hidden in an earlier membership stays hidden, also where the past is visible.
#[tokio::test(start_paused = true)]
async fn of_what_one_hid_before_leaving_one_is_told_nothing_when_back() {
    let town = Town::new().await;
    let room = town.group().await;
    set_visible(&town, room, true).await;
    let message = town.say(ANA, room, "the secret").await.message.id;
    let fine = town.say(ANA, room, "fine").await.message.id;
    town.node.hide(BEN, message).await.unwrap();
    town.node.leave(BEN, room).await.unwrap();
    town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
    let mut phone = town.listen(BEN).await;
    disturb(&town, message).await;
    disturb(&town, fine).await;
    let expected = [five(6, false), five(11, true)].concat();
    assert_eq!(shown(&seen(&mut phone, 10).await), expected, "live");
    let mut resumed = town.stream(BEN, open("tablet", &[(room, 6)])).await;
    assert_eq!(shown(&seen(&mut resumed, 10).await), expected, "resumed");
}

/// A stream is not read while its user is removed, the others speak, and the user is added again: in a queue that holds
/// it all, and in one that holds nothing; where the past is hidden, and where it is not.
#[tokio::test(start_paused = true)]
async fn between_leaving_and_coming_back_nothing_is_given() {
    for (bytes, visible, secrets) in
        [(1 << 20, false, 3), (1 << 20, true, 3), (600, false, 3), (600, true, 3), (600, false, 300), (600, true, 300)]
    {
        let town = Town::with(|o| o.stream_queue_bytes_max = bytes).await;
        let room = town.group().await;
        set_visible(&town, room, visible).await;
        let mut live = town.listen(BEN).await;
        let mut resuming = town.stream(BEN, open("tablet", &[(room, 1)])).await;
        for i in 0..5 {
            town.say(ANA, room, &format!("open {i}")).await;
        }
        town.node.remove_members(ANA, room, vec![BEN.user]).await.unwrap();
        for i in 0..secrets {
            town.say(ANA, room, &format!("secret {i}")).await;
        }
        town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
        let last = town.say(ANA, room, "welcome back").await.message.seq;
        for reader in [&mut live, &mut resuming] {
            let mut end = Seq(0);
            while end < last {
                match next(reader).await {
                    Output::Batch(batch) => {
                        end = batch.last();
                        assert!(!batch.events.iter().any(|e| content(e).is_some_and(|c| c.starts_with("secret"))));
                    }
                    Output::Events(events) => {
                        end = events.last().unwrap().seq();
                        let texts = events.iter().filter_map(|seen| seen.event().and_then(content));
                        assert!(!texts.into_iter().any(|c| c.starts_with("secret")), "{bytes} {visible} {secrets}");
                    }
                    Output::Resync(_, _, resumed, _) => end = resumed,
                    Output::Moment(_) | Output::Left(_) | Output::Announce(..) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(is_quiet(reader).await);
        }
    }
}

/// Where a stream stands that follows the documented contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// Not a member, as far as the stream has told.
    Out,
    In(Seq),
}

/// A room with one user who comes and goes, and what the rule says of its log.
struct Trial {
    town: Town,
    room: RoomId,
    random: StdRng,
    messages: Vec<MessageId>,
    /// Hidden messages, and where the log ended when they were.
    hidden: BTreeMap<Seq, Seq>,
    reader: Option<StreamReader>,
    at: At,
}

impl Trial {
    async fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (bytes, most) = ([600, 2_000, 1 << 20], [8, 40, 10_000]);
        let (bytes, most) = (bytes[random.random_range(0..3)], most[random.random_range(0..3)]);
        let town = Town::with(|o| {
            o.stream_queue_bytes_max = bytes;
            o.catch_up_max = most;
            o.warm_messages = 4;
        })
        .await;
        let room = town.group().await;
        Self { town, room, random, messages: Vec::new(), hidden: BTreeMap::new(), reader: None, at: At::Out }
    }

    async fn is_member(&self) -> bool {
        self.town.store.member(self.room, NEW.user).await.unwrap().is_some()
    }

    async fn head(&self) -> Seq {
        self.town.store.head(self.room).await.unwrap().unwrap().seq
    }

    async fn step(&mut self, number: usize) {
        let (room, pick) = (self.room, self.random.random_range(0..100));
        let any = (!self.messages.is_empty()).then(|| self.messages[self.random.random_range(0..self.messages.len())]);
        match (pick, any) {
            (0..25, _) | (_, None) => {
                let id = self.town.say(ANA, room, &format!("m{number}")).await.message.id;
                self.messages.push(id);
            }
            (25..40, Some(id)) => drop(self.town.node.edit(ANA, id, &format!("e{number}"), false, &[]).await),
            (40..48, Some(id)) => drop(self.town.node.react(ANA, id, &format!("r{number}"), false).await),
            (48..50, Some(id)) => drop(self.town.node.delete(ANA, id).await),
            (50..56, Some(id)) => {
                if self.town.node.hide(NEW, id).await.is_ok() {
                    let found = self.town.store.find_message(id).await.unwrap().unwrap();
                    let head = self.head().await;
                    self.hidden.entry(found.seq).or_insert(head);
                }
            }
            (56..66, _) => drop(self.town.node.add_members(ANA, room, vec![NEW.user]).await),
            (66..72, _) => drop(self.town.node.remove_members(ANA, room, vec![NEW.user]).await),
            (72..77, _) => {
                let visible = self.random.random_bool(0.5);
                set_visible(&self.town, room, visible).await;
            }
            (77..80, _) => drop(self.town.node.rooms().passivate(room).await),
            (80..86, _) => self.reopen().await,
            _ => {
                for _ in 0..self.random.random_range(1..6) {
                    self.read_one().await;
                }
            }
        }
        if self.random.random_bool(0.3) {
            settle().await;
        }
    }

    /// The connection is cut, and the client comes back with what it knows, or claims to.
    async fn reopen(&mut self) {
        self.reader = None;
        settle().await;
        let head = self.head().await;
        if let At::In(seq) = &mut self.at
            && self.random.random_bool(0.2)
        {
            *seq = Seq(self.random.random_range(0..=head.0));
        }
        let cursors = match self.at {
            At::In(seq) => vec![(self.room, seq.0)],
            At::Out => vec![],
        };
        if self.at == At::Out && self.is_member().await {
            self.at = At::In(head);
        }
        self.reader = Some(self.town.stream(NEW, open("phone", &cursors)).await);
    }

    /// Takes what the stream says next, if it says anything. Returns whether it did.
    async fn read_one(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        settle().await;
        let said = async {
            loop {
                match reader.next().await {
                    Output::Heartbeat | Output::Moment(_) => {}
                    other => return other,
                }
            }
        };
        let Ok(output) = timeout(Duration::from_millis(10), said).await else { return false };
        match output {
            Output::Batch(batch) => {
                let seen = batch.events.iter().map(|event| Seen::Whole(event.as_ref().clone())).collect();
                self.take(seen).await;
            }
            Output::Events(seen) => self.take(seen).await,
            Output::Announce(_, after) => {
                assert_eq!(self.at, At::Out, "announced though it was known");
                self.at = At::In(after);
            }
            Output::Left(_) => self.at = At::Out,
            Output::Resync(_, from, to, stale) => {
                let At::In(seq) = self.at else { panic!("resync of a room that is not the reader's") };
                assert!(from == seq.next() && to >= seq && stale >= to, "{from} {to} after {seq}");
                let position = self.town.store.position(self.room, NEW.user).await.unwrap();
                let joins = self.town.log(self.room).await;
                let joined = joins.iter().rev().find(|e| e.joins(NEW.user)).map_or(Seq(0), |e| e.seq);
                let is_apart = to <= position.floor_seq.max(joined);
                let is_much = to.0 - seq.0 > self.town.options.catch_up_max;
                let is_stale = to == seq;
                assert!(is_apart || is_much || is_stale, "{from} to {to} is not given for no reason");
                self.at = At::In(to);
            }
            other => panic!("{other:?}"),
        }
        true
    }

    /// Holds what was given against the log: who was a member when, where their floor was, and what they had hidden.
    async fn take(&mut self, seen: Vec<Seen>) {
        let log = self.town.log(self.room).await;
        let mut state = RoomState::empty(self.room, Epoch(1), 1);
        let mut views = BTreeMap::new();
        for event in &log {
            let (was_member, before) = (state.members.contains_key(&NEW.user), state.view(NEW.user).floor);
            state.apply_event(event);
            let is_member = state.members.contains_key(&NEW.user);
            let floor = if is_member { state.view(NEW.user).floor } else { before };
            views.insert(event.seq, (was_member || is_member, floor));
        }
        for seen in seen {
            let seq = seen.seq();
            let (is_member, floor) = views[&seq];
            assert!(is_member, "{seq} was given to one who was no member");
            let truth = &log[usize::try_from(seq.0).unwrap() - 1];
            let about = truth.about().unwrap_or(seq);
            let hidden_at = self.hidden.get(&about);
            match seen.event() {
                Some(event) => {
                    assert!(about > floor, "{seq} tells of {about}, below {floor}");
                    assert!(hidden_at.is_none_or(|at| seq <= *at), "{seq} tells of {about}, which was hidden");
                    if event.joins(NEW.user) {
                        self.at = At::In(Seq(seq.0 - 1));
                    }
                }
                None => {
                    let floor = state.position(NEW.user).floor_seq;
                    assert!(about <= floor || hidden_at.is_some(), "{seq} is veiled, and {about} is for the reader");
                }
            }
            let At::In(cursor) = self.at else { panic!("{seq} in a room that is not the reader's") };
            assert_eq!(seq, cursor.next(), "in order, without gaps");
            self.at = if truth.parts(NEW.user) { At::Out } else { At::In(seq) };
        }
    }

    /// Reads to the end: the stream has come as far as the room, and the pages hold what the rule says.
    async fn finish(mut self) {
        if self.reader.is_none() {
            self.reopen().await;
        }
        while self.read_one().await {}
        let (is_member, head) = (self.is_member().await, self.head().await);
        assert_eq!(self.at, if is_member { At::In(head) } else { At::Out });
        if !is_member {
            return;
        }
        let floor = self.town.node.access(NEW, self.room).await.unwrap().floor();
        let log = self.town.log(self.room).await;
        let expected = log.iter().filter(|e| e.message().is_some() && e.seq > floor).map(|e| e.seq);
        let expected: Vec<Seq> = expected.filter(|seq| !self.hidden.contains_key(seq)).collect();
        let page = self.town.node.history(NEW, self.room, PageAt::After(Seq(0)), 200).await.unwrap();
        let found: Vec<Seq> = page.messages.iter().map(|m| m.seq).collect();
        assert!(expected.starts_with(&found) && (page.has_more_after || found == expected), "{found:?} {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_show_what_the_rule_says_of_the_log() {
    for seed in 0..60 {
        let mut trial = Trial::new(seed).await;
        for number in 0..120 {
            trial.step(number).await;
        }
        trial.finish().await;
    }
}

/// To those who watch its user, a device that opens its stream again before the old one has ended was never away.
#[tokio::test(start_paused = true)]
async fn a_device_that_reconnects_has_not_been_away() {
    let town = Town::new().await;
    let first = town.listen(BEN).await;
    let mut ana = town.stream(ANA, OpenStream { presence_of: vec![BEN.user], ..open("phone", &[]) }).await;
    let online = |output: Output| match output {
        Output::Moment(moment) => match moment.body {
            MomentBody::Presence { online } => Some(online),
            _ => None,
        },
        _ => None,
    };
    assert_eq!(online(next(&mut ana).await), Some(true));
    let second = town.listen(BEN).await;
    assert!(is_quiet(&mut ana).await, "replaced");
    drop(first);
    assert!(is_quiet(&mut ana).await, "what was replaced is gone");
    drop(second);
    assert_eq!(online(next(&mut ana).await), Some(false));
}
