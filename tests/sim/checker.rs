//! The end of a run: what is in the store, what clients were told, and what devices saw must agree.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use tertulia::{
    actors::{Node, ops::PageAt, user::ListFilter},
    domain::{
        event::{Event, EventBody},
        ids::{Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
        invariants::{HistoryChecker, Kind, ObservedEvent, ObservedMessage},
        message::MessageType,
        position::Position,
        room::{Author, RoomState, RoomType},
        unread::Uncounted,
    },
    storage::{Direction, codec},
};

use crate::{
    devices::{Device, joined, left},
    world::World,
};

const ALL: usize = 1_000_000;

/// A room's log.
#[derive(Debug)]
struct Log {
    room: RoomId,
    events: Vec<(Event, Epoch)>,
}

fn int(number: u64) -> i64 {
    i64::try_from(number).expect("a run is short")
}

/// Checks everything; `node` is live and quiet.
pub(crate) async fn check(world: &World, node: &Node, devices: &[Rc<RefCell<Device>>], bus: &Bus) {
    let rooms = world.inner.rooms(None, ALL).await.expect("no faults here");
    let mut ids: BTreeMap<MessageId, RoomId> = BTreeMap::new();
    let mut external = BTreeMap::new();
    for room in &rooms {
        let log = read(world, *room).await;
        check_room(world, node, &log).await;
        check_external(world, &log, &mut external).await;
        check_join_all(world, &log).await;
        for (event, _) in &log.events {
            if let Some(message) = event.message()
                && let Some(other) = ids.insert(message.id, *room)
            {
                world.violation(format_args!("{} is in {other} and in {room}", message.id));
            }
        }
        for device in devices {
            check_device(world, &device.borrow(), &log).await;
        }
        bus.check(world, &log);
    }
    check_book(world, &rooms);
    for user in 1..=world.plan.users {
        check_list(world, node, UserId(user)).await;
    }
}

async fn read(world: &World, room: RoomId) -> Log {
    let records = world.inner.read_log(room, Seq(0), Direction::Forward, ALL).await.expect("no faults here");
    let events = records
        .iter()
        .map(|record| {
            let event = codec::decode_event(room, record).expect("a log decodes");
            (event, record.epoch)
        })
        .collect();
    Log { room, events }
}

fn observed(event: &Event, epoch: Epoch) -> ObservedEvent {
    let about = |id: MessageId| Kind::About { message_id: id.0 };
    let kind = match &event.body {
        EventBody::Message(_) => Kind::Message,
        EventBody::Edited(message) => about(message.id),
        EventBody::Deleted(target) | EventBody::Reacted { target, .. } | EventBody::Pinned { target, .. } => {
            about(target.id)
        }
        EventBody::Created { .. } | EventBody::Joined { .. } | EventBody::Left { .. } => Kind::Members,
        EventBody::Closed => Kind::RoomDeleted,
        EventBody::MemberChanged { .. } | EventBody::InfoChanged(_) => Kind::Other,
    };
    let message = event.message().map(|message| ObservedMessage {
        n: int(message.n.0),
        id: message.id.0,
        sender: message.sender.0,
        client_message_id: message.client_id.to_string(),
        body_hash: 0,
        system: message.draft.message_type == MessageType::System,
    });
    let users = |users: BTreeSet<UserId>| users.iter().map(|user| user.0).collect();
    ObservedEvent {
        seq: int(event.seq.0),
        epoch: int(epoch.0),
        head_n: Some(int(event.n.0)),
        kind,
        message,
        joined: users(joined(event)),
        left: users(left(event)),
    }
}

async fn check_room(world: &World, node: &Node, log: &Log) {
    let room = log.room;
    let mut history = HistoryChecker::new();
    for (event, epoch) in &log.events {
        let _ = history.observe(&observed(event, *epoch));
        if let EventBody::Deleted(target) = &event.body {
            history.set_deleted(target.id.0);
        }
    }
    {
        let book = world.book.borrow();
        for record in book.sends.iter().filter(|record| record.room == Some(room)) {
            let found = log.events.iter().any(|(event, _)| {
                event
                    .message()
                    .is_some_and(|message| message.sender.0 == record.user && *message.client_id.0 == *record.client_id)
            });
            match record.acked {
                Some((seq, id)) => {
                    history.expect_acked(int(seq.0), id.0, record.user, &record.client_id);
                }
                None if found && !record.doubt => {
                    world.violation(format_args!("{} was refused each time and is in the log", record.client_id))
                }
                None => {}
            }
        }
        check_edits(world, &book.edits, log);
    }
    check_positions(world, node, log, &mut history).await;
    check_history(world, node, log, &history).await;
    let found = history.finish();
    let sound = found.is_empty();
    for violation in found {
        world.violation(format_args!("{room}: {violation}"));
    }
    if sound {
        check_projections(world, log).await;
    }
}

fn check_edits(world: &World, edits: &[crate::world::EditRecord], log: &Log) {
    let deleted: BTreeSet<MessageId> = log
        .events
        .iter()
        .filter_map(|(event, _)| match &event.body {
            EventBody::Deleted(target) => Some(target.id),
            _ => None,
        })
        .collect();
    for edit in edits.iter().filter(|edit| edit.room == log.room) {
        let times = log
            .events
            .iter()
            .filter(|(event, _)| match &event.body {
                EventBody::Edited(message) => message.id == edit.id && message.draft.content == edit.content,
                _ => false,
            })
            .count();
        let fine = match (edit.acked, edit.doubt) {
            _ if deleted.contains(&edit.id) => times == 0,
            (true, _) => times == 1,
            (false, true) => times <= 1,
            (false, false) => times == 0,
        };
        if !fine {
            world.violation(format_args!("{edit:?} is {times} times in the log of {}", log.room));
        }
    }
}

async fn check_positions(world: &World, node: &Node, log: &Log, history: &mut HistoryChecker) {
    let room = log.room;
    let positions = world.inner.positions(room, UserId(0), ALL).await;
    let positions: BTreeMap<UserId, Position> = positions.expect("no faults here").into_iter().collect();
    let book = world.book.borrow().read.clone();
    for ((_, user), read) in book.iter().filter(|((at, _), _)| *at == room) {
        let stored = positions.get(user).copied().unwrap_or_default();
        if stored.read_seq < *read {
            world.violation(format_args!(
                "{user} was told to have read {room} up to {read}, the store says {}",
                stored.read_seq
            ));
        }
    }
    let info = world.inner.room(room).await.expect("no faults here");
    let info = info.map(|body| codec::decode_info(room, &body).expect("settings decode"));
    let is_p2p = info.is_some_and(|info| info.room_type == RoomType::P2p);
    let members: Vec<i64> = {
        let mut members: Vec<i64> = history.members().iter().copied().collect();
        members.sort_unstable();
        members
    };
    for user in members {
        let position = positions.get(&UserId(user)).copied().unwrap_or_default();
        // A p2p room can be cleared, which only the position knows.
        let floor = is_p2p.then_some(int(position.floor_n.0));
        history.set_position(user, int(position.read_n.0), floor);
        // Who reads across a block is not seen to: their number goes ahead of the place that is shown.
        let (shown, read) = (history.ordinal_at(int(position.read_seq.0)), int(position.read_n.0));
        if read < shown || (read > shown && !is_p2p) {
            world.violation(format_args!(
                "{room}: {user} has read seq {}, which is not message {}",
                position.read_seq, position.read_n
            ));
        }
        let admin = Author { user: UserId(user), admin: true };
        match node.explain_unread(admin, room, UserId(user)).await {
            Ok(why) if int(why.unread.count() + why.unread.hidden) == history.naive_unread(user) => {}
            answer => world.violation(format_args!(
                "{room}: {user} has {} unread, the node says {answer:?}",
                history.naive_unread(user)
            )),
        }
    }
}

/// What a member reads page by page is what the log has.
async fn check_history(world: &World, node: &Node, log: &Log, history: &HistoryChecker) {
    let members: BTreeSet<i64> = history.members().iter().copied().collect();
    let closed = history.deleted_at().is_some();
    let Some(user) = members.first().copied().filter(|_| !closed) else {
        return;
    };
    let author = Author { user: UserId(user), admin: false };
    let position = world.inner.position(log.room, UserId(user)).await;
    let member = world.inner.member(log.room, UserId(user)).await.expect("no faults here").expect("a member has a row");
    let floor = codec::decode_member(&member).expect("a row").floor(position.expect("no faults here"));
    let hidden: BTreeSet<Seq> = world
        .inner
        .hidden_messages(UserId(user), log.room, Seq(0), Seq(u64::MAX / 2))
        .await
        .expect("no faults here")
        .into_iter()
        .collect();
    let expected: Vec<MessageId> = log
        .events
        .iter()
        .filter_map(|(event, _)| event.message())
        .filter(|m| m.seq > floor && !hidden.contains(&m.seq))
        .map(|m| m.id)
        .collect();
    let (mut found, mut after, mut said) = (Vec::new(), Seq(0), Vec::new());
    loop {
        match node.history(author, log.room, PageAt::After(after), 7).await {
            Ok(page) => {
                found.extend(page.messages.iter().map(|m| m.id));
                let says = page.messages.iter().filter(|m| m.draft.content.contains("says"));
                said.extend(says.map(|m| m.id));
                let Some(last) = page.messages.last().filter(|_| page.has_more_after) else {
                    break;
                };
                after = last.seq;
            }
            Err(error) => {
                world.violation(format_args!("{}: no history: {error:?}", log.room));
                return;
            }
        }
    }
    if found != expected {
        world.violation(format_args!("{}: {user} reads {found:?} where the log has {expected:?}", log.room));
    }
    check_search(world, node, log.room, author, said).await;
    if let Ok(summary) = node.room(author, log.room).await {
        let last = summary.last_message.map(|m| m.id);
        // Far enough down the list of hidden ones none is looked for.
        if last != expected.last().copied() && (last.is_some() || hidden.len() <= 64) {
            world.violation(format_args!("{}: {user} is shown {last:?} of {expected:?}", log.room));
        }
    }
}

/// What is found, page by page, is what there is to read.
async fn check_search(world: &World, node: &Node, room: RoomId, author: Author, mut expected: Vec<MessageId>) {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        match node.search(author, Some(room), "says", from, 40).await {
            Ok(page) => {
                found.extend(page.messages.iter().map(|m| m.id));
                from = page.next;
            }
            Err(error) => {
                world.violation(format_args!("{room}: no search: {error:?}"));
                return;
            }
        }
        if from.is_none() {
            break;
        }
    }
    expected.reverse();
    if found != expected {
        world.violation(format_args!("{room}: a search finds {found:?}, there is {expected:?}"));
    }
}

/// A reference to a message elsewhere has one message here, and finds it.
async fn check_external(world: &World, log: &Log, known: &mut BTreeMap<ExternalRef, (RoomId, Seq)>) {
    for (event, _) in &log.events {
        let Some(external) = event.message().and_then(|message| message.draft.external.as_ref()) else {
            continue;
        };
        let place = (log.room, event.seq);
        if let Some(other) = known.insert(external.clone(), place) {
            world.violation(format_args!("{external:?} is at {other:?} and at {place:?}"));
        }
        let found = world.inner.find_external(external).await.expect("no faults here");
        if found.map(|found| (found.room, found.seq)) != Some(place) {
            world.violation(format_args!("{external:?} is at {place:?} and found at {found:?}"));
        }
    }
}

/// A channel for everyone has had everyone as a member.
async fn check_join_all(world: &World, log: &Log) {
    let info = world.inner.room(log.room).await.expect("no faults here");
    let info = info.map(|body| codec::decode_info(log.room, &body).expect("settings decode"));
    if !info.is_some_and(|info| info.join_all_users && !info.deleted) {
        return;
    }
    let came: BTreeSet<UserId> = log.events.iter().flat_map(|(event, _)| joined(event)).collect();
    for user in (1..=world.plan.users).map(UserId).filter(|user| !came.contains(user)) {
        world.violation(format_args!("{} is for everyone, and {user} never came", log.room));
    }
    let job = world.inner.join_job(log.room).await.expect("no faults here");
    if !job.as_ref().is_some_and(|body| codec::decode_join_job(body).is_ok_and(|job| job.done)) {
        world.violation(format_args!("{} is for everyone, and the job stands at {job:?}", log.room));
    }
}

/// Every table is what the log makes of it.
async fn check_projections(world: &World, log: &Log) {
    let room = log.room;
    let mut state = RoomState::empty(room, Epoch(1), 8);
    for (event, _) in &log.events {
        state.apply_event(event);
    }
    let store = &world.inner;
    let head = store.head(room).await.expect("no faults here");
    if head != Some(state.head) {
        world.violation(format_args!("{room}: {head:?}, the log says {:?}", state.head));
    }
    let info = store.room(room).await.expect("no faults here");
    let (info, uncounted) = info.map(|body| codec::decode_room(room, &body).expect("settings decode")).unzip();
    if info.as_ref() != state.info.as_deref() {
        world.violation(format_args!("{room}: {info:?}, the log says {:?}", state.info));
    }
    let told = info.is_some().then(|| Uncounted::of_log(log.events.iter().map(|(event, _)| event)));
    if uncounted != told {
        world.violation(format_args!("{room}: {uncounted:?} count for nobody, the log says {told:?}"));
    }
    let members = store.members(room, UserId(0), ALL).await;
    let members: BTreeMap<UserId, _> = members
        .expect("no faults here")
        .iter()
        .map(|(user, body)| (*user, codec::decode_member(body).expect("members decode")))
        .collect();
    if members != state.members {
        world.violation(format_args!("{room}: {members:?}, the log says {:?}", state.members));
    }
    for user in 1..=world.plan.users {
        let listed = store.room_of(UserId(user), room).await;
        let listed = listed.expect("no faults here").is_some();
        if listed != state.members.contains_key(&UserId(user)) {
            world.violation(format_args!("{room}: in the list of {user}: {listed}"));
        }
    }
    let mut pins = store.pins(room, ALL).await.expect("no faults here");
    let mut expected = state.pins.clone();
    pins.sort_unstable();
    expected.sort_unstable();
    if pins != expected {
        world.violation(format_args!("{room}: pins {pins:?}, the log says {expected:?}"));
    }
    for (user, derived) in &state.positions {
        let stored = store.position(room, *user).await.expect("no faults here");
        if stored.merge(*derived) != stored || stored.sent_n != derived.sent_n {
            world.violation(format_args!("{room}: {user} stands at {stored:?}, the log says {derived:?}"));
        }
    }
}

/// Whether `user` was a member when `seq` happened (their own leaving included).
fn member_at(log: &Log, user: UserId, seq: Seq) -> bool {
    let mut member = false;
    for (event, _) in &log.events {
        if joined(event).contains(&user) {
            member = true;
        }
        if event.seq == seq {
            return member;
        }
        if left(event).contains(&user) {
            member = false;
        }
    }
    false
}

/// Where the floor of `user` stood after each event, by the log alone: those who join while the past is hidden see
/// nothing of it.
fn floors(log: &Log, user: UserId) -> BTreeMap<Seq, Seq> {
    let mut state = RoomState::empty(log.room, Epoch(1), 1);
    let floor = |(event, _): &(Event, Epoch)| {
        state.apply_event(event);
        (event.seq, state.view(user).floor)
    };
    log.events.iter().map(floor).collect()
}

async fn check_device(world: &World, device: &Device, log: &Log) {
    let (user, room) = (device.user, log.room);
    let floors = floors(log, user);
    for given in device.given.iter().filter(|given| given.room == room) {
        let seq = given.seq;
        if !member_at(log, user, seq) {
            world.violation(format_args!("{} was given {room}:{seq}, when {user} was no member", device.name));
        }
        let floor = floors.get(&seq).copied().unwrap_or_default();
        if given.whole && given.about.unwrap_or(seq) <= floor {
            world.violation(format_args!(
                "{} was told {room}:{seq} about {:?}, below {floor} (the log was at {})",
                device.name, given.about, given.head
            ));
        }
    }
    if device.only.is_some_and(|only| only != room) {
        return;
    }
    let last = log.events.last().map_or(Seq(0), |(event, _)| event.seq);
    let member = world.inner.member(room, user).await.expect("no faults here");
    match (member, device.views.get(&room)) {
        (None, None) => {}
        (None, Some(_)) => {
            world.violation(format_args!("{} was not told that {user} is no member of {room} any more", device.name))
        }
        (Some(_), None) => {
            world.violation(format_args!("{} was not told that {user} is a member of {room}", device.name))
        }
        (Some(_), Some(view)) if !view.seen => {
            if view.start < last {
                world.violation(format_args!(
                    "{} saw nothing of {room}, which is at {last}, after {}",
                    device.name, view.start
                ));
            }
        }
        (Some(_), Some(view)) => {
            if let Err(violation) = view.checker.finish(int(last.0)) {
                world.violation(format_args!("{}: {violation}", device.name));
            }
        }
    }
    if !device.connected {
        world.violation(format_args!("{} cannot listen", device.name));
    }
}

fn check_book(world: &World, rooms: &[RoomId]) {
    for room in &world.book.borrow().created {
        if !rooms.contains(room) {
            world.violation(format_args!("{room} was made and is lost"));
        }
    }
}

/// The list of rooms says what the rooms say.
async fn check_list(world: &World, node: &Node, user: UserId) {
    let author = Author { user, admin: false };
    let filter = ListFilter { room_type: None, include_hidden: true };
    let page = match node.list(author, &filter, "", None, 100).await {
        Ok(page) => page,
        Err(error) => {
            world.violation(format_args!("{user} has no list: {error:?}"));
            return;
        }
    };
    let mut unread = 0;
    for summary in &page.rooms {
        let room = summary.info.id;
        let head = world.inner.head(room).await.expect("no faults here");
        let why = node.explain_unread(author, room, user).await;
        let expected = why.map_or(u64::MAX, |why| why.unread.count());
        unread += expected;
        if Some(summary.head) != head || summary.unread != expected {
            world.violation(format_args!(
                "the list of {user} says of {room}: {} unread of {:?}; it is {expected} of {head:?}",
                summary.unread, summary.head
            ));
        }
    }
    let entries = world.inner.rooms_of(user, None, ALL).await;
    let mut live = 0;
    for entry in entries.expect("no faults here") {
        let info = world.inner.room(entry.room).await.expect("no faults here");
        let info = info.map(|body| codec::decode_info(entry.room, &body).expect("decodes"));
        if info.is_some_and(|info| !info.deleted) {
            live += 1;
        }
    }
    if live != page.rooms.len() {
        world.violation(format_args!("the list of {user} has {} rooms, the store {live}", page.rooms.len()));
    }
    if page.rooms.len() == page.total && unread != page.unread_total {
        world.violation(format_args!("the list of {user} sums up {} unread, they are {unread}", page.unread_total));
    }
}

/// What the bus's subscriber has got: for each room the newest event, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    newest: RefCell<BTreeMap<RoomId, Seq>>,
}

impl Bus {
    /// Takes one event.
    pub(crate) fn take(&self, world: &World, event: &Arc<Event>) {
        let mut newest = self.newest.borrow_mut();
        let last = newest.entry(event.room).or_default();
        if event.seq > last.next() {
            world.violation(format_args!("the bus has {}:{} after {last}", event.room, event.seq));
        }
        *last = (*last).max(event.seq);
    }

    fn check(&self, world: &World, log: &Log) {
        let newest = self.newest.borrow().get(&log.room).copied();
        let last = log.events.last().map(|(event, _)| event.seq);
        if newest != last {
            world.violation(format_args!("the bus has {} up to {newest:?}, the log up to {last:?}", log.room));
        }
    }
}
