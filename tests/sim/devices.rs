//! Those who listen: devices with a stream, that read fast or slowly, vanish, and come back with what they last saw.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use rand::{Rng, rngs::StdRng};
use tertulia::{
    actors::{
        stream::CloseReason,
        user::{Attempt, OpenStream, Output, StreamReader},
    },
    domain::{
        event::{Event, EventBody},
        ids::{RoomId, Seq, UserId},
        invariants::ReaderChecker,
        view::Seen,
    },
};

use crate::world::{Answer, Phase, World};

/// What a device has seen of a room.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) checker: ReaderChecker,
    /// The stream began after this place at the latest; counts until something was seen.
    pub(crate) start: Seq,
    pub(crate) seen: bool,
    /// The client claimed to have seen what does not exist.
    lied: bool,
}

/// One event that a device was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) room: RoomId,
    pub(crate) seq: Seq,
    /// End of the room's log at the time.
    pub(crate) head: Seq,
    /// The message it tells something of.
    pub(crate) about: Option<Seq>,
    /// Not veiled.
    pub(crate) whole: bool,
}

/// A device, as the checker finds it at the end.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) only: Option<RoomId>,
    pub(crate) views: BTreeMap<RoomId, View>,
    pub(crate) connected: bool,
    /// Streams it has asked for.
    opened: u64,
    /// What it was given.
    pub(crate) given: Vec<Given>,
    /// Ends of all logs when the present stream began.
    heads: BTreeMap<RoomId, Seq>,
}

#[derive(Debug)]
pub(crate) struct Listener {
    world: Rc<World>,
    random: StdRng,
    device: Rc<RefCell<Device>>,
    slow: bool,
}

fn i(seq: Seq) -> i64 {
    i64::try_from(seq.0).expect("a log is short")
}

fn seq(number: i64) -> Seq {
    Seq(u64::try_from(number).expect("places are not negative"))
}

impl Listener {
    pub(crate) fn new(world: &Rc<World>, user: i64, number: u64) -> Self {
        let mut random = world.random(500_000 + 1_000 * user.unsigned_abs() + number);
        let slow = random.random_bool(0.3);
        let only = {
            let book = world.book.borrow();
            (random.random_bool(0.2) && !book.rooms.is_empty())
                .then(|| book.rooms[random.random_range(0..book.rooms.len())])
        };
        Self {
            world: Rc::clone(world),
            random,
            device: Rc::new(RefCell::new(Device {
                user: UserId(user),
                name: format!("u{user}/d{number}"),
                only,
                views: BTreeMap::new(),
                connected: false,
                opened: 0,
                given: Vec::new(),
                heads: BTreeMap::new(),
            })),
            slow,
        }
    }

    pub(crate) fn device(&self) -> Rc<RefCell<Device>> {
        Rc::clone(&self.device)
    }

    fn note(&self, line: impl std::fmt::Display) {
        let name = &self.device.borrow().name;
        self.world.note(format_args!("{name} {line}"));
    }

    fn violation(&self, what: impl std::fmt::Display) {
        let name = self.device.borrow().name.clone();
        self.world.violation(format_args!("{name}: {what}"));
    }

    /// Listens until the end, with interruptions until the world settles.
    pub(crate) async fn run(mut self) {
        let mut replaced: Option<(StreamReader, u64)> = None;
        while self.world.phase() != Phase::Over {
            let node = self.world.node_up().await;
            let generation = self.world.generation();
            let user = self.device.borrow().user;
            let open = self.open();
            let answer = self.world.call(60_000, node.users().open(user, open)).await;
            let reader = match answer {
                Answer::Done(reader) => reader,
                Answer::Refused(error) => {
                    self.note(format_args!("cannot listen: {error:?}"));
                    self.pause(50).await;
                    continue;
                }
                Answer::Doubt(why) => {
                    self.note(format_args!("cannot listen: {why}"));
                    self.pause(50).await;
                    continue;
                }
            };
            self.opened().await;
            if let Some((old, of)) = replaced.take()
                && of == generation
            {
                self.is_replaced(old, generation).await;
            }
            self.device.borrow_mut().connected = true;
            let left_open = self.listen(reader, generation).await;
            self.device.borrow_mut().connected = false;
            self.note("no longer listens");
            // A device that comes back before the server knows that it was gone.
            replaced = left_open.filter(|_| self.random.random_bool(0.2)).map(|reader| (reader, generation));
            if replaced.is_none() {
                self.pause(300).await;
            }
        }
    }

    async fn pause(&mut self, ms_max: u64) {
        let ms = self.random.random_range(1..=ms_max);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    fn open(&mut self) -> OpenStream {
        let mut device = self.device.borrow_mut();
        device.opened += 1;
        if self.random.random_bool(0.1) {
            // Starts from nothing.
            device.views.clear();
        }
        let random = &mut self.random;
        for (room, view) in &mut device.views {
            if self.world.phase() != Phase::Running || !view.seen {
                continue;
            }
            if random.random_bool(0.05) {
                let back = random.random_range(0..8).min(view.checker.cursor());
                let cursor = view.checker.cursor() - back;
                view.checker = ReaderChecker::resuming(room.to_string(), cursor);
            } else if random.random_bool(0.02) {
                let cursor = view.checker.cursor() + 1_000;
                view.checker = ReaderChecker::resuming(room.to_string(), cursor);
                view.lied = true;
            }
        }
        // A room of which nothing was seen yet has no cursor but the place where its stream began.
        let cursors = device
            .views
            .iter()
            .map(|(room, view)| {
                let cursor = if view.seen { seq(view.checker.cursor()) } else { view.start };
                (*room, cursor)
            })
            .collect();
        OpenStream {
            client_id: device.name.clone(),
            attempt: Some(Attempt { process: 1, number: device.opened }),
            room: device.only,
            cursors,
            presence_of: vec![UserId(1), UserId(2)],
            commands_only: false,
        }
    }

    /// Notes where all rooms stand as the stream begins.
    async fn opened(&self) {
        let world = &self.world;
        let rooms = world.inner.rooms(None, 1_000).await.expect("no faults here");
        let heads = world.inner.heads(&rooms).await.expect("no faults here");
        let heads: BTreeMap<RoomId, Seq> =
            rooms.iter().zip(heads).map(|(room, head)| (*room, head.unwrap_or_default().seq)).collect();
        let (user, only) = {
            let device = self.device.borrow();
            (device.user, device.only)
        };
        let entries = world.inner.rooms_of(user, None, 1_000).await;
        let entries = entries.expect("no faults here");
        let mut device = self.device.borrow_mut();
        if device.views.is_empty() {
            for entry in entries.iter().filter(|e| only.is_none_or(|only| only == e.room)) {
                let start = heads.get(&entry.room).copied().unwrap_or_default();
                let checker = ReaderChecker::live(entry.room.to_string());
                device.views.insert(entry.room, View { checker, start, seen: false, lied: false });
            }
        }
        device.heads = heads;
        drop(device);
        self.note("listens");
    }

    /// The stream before this one must have been ended.
    async fn is_replaced(&self, mut old: StreamReader, generation: u64) {
        let closed = async {
            loop {
                match old.next().await {
                    Output::Closed(CloseReason::Replaced) => break true,
                    Output::Closed(CloseReason::Draining | CloseReason::Interrupted) | Output::Failed(_) => break true,
                    _ => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = self.world.cut_off(generation) => {}
            _ = closed => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => {
                self.violation("a stream that was replaced was not closed");
            }
        }
    }

    /// Reads until the stream ends or the device goes away; returns the stream if it is still open.
    async fn listen(&mut self, mut reader: StreamReader, generation: u64) -> Option<StreamReader> {
        let stay = Duration::from_millis(self.random.random_range(10..2_500));
        let gone = tokio::time::sleep(stay);
        tokio::pin!(gone);
        loop {
            let running = self.world.phase() == Phase::Running;
            let output = tokio::select! {
                biased;
                () = self.world.cut_off(generation) => return None,
                () = self.world.reached(Phase::Over) => return None,
                () = &mut gone, if running => return Some(reader),
                output = reader.next() => output,
            };
            let goes_on = self.take(output).await;
            if !goes_on {
                return None;
            }
            if self.slow && running {
                self.pause(60).await;
            }
        }
    }

    /// Takes one output; returns whether there will be more.
    async fn take(&self, output: Output) -> bool {
        match output {
            Output::Batch(batch) => {
                for event in &batch.events {
                    self.event(event).await;
                }
            }
            Output::Events(events) => {
                for seen in &events {
                    match seen {
                        Seen::Whole(event) => self.event(event).await,
                        Seen::Veiled { room, seq, .. } => self.veiled(*room, *seq).await,
                    }
                }
            }
            Output::Announce(room, after) => {
                self.note(format_args!("{room} joins after {after}"));
                let head = self.world.inner.head(room).await.expect("no faults here");
                let mut device = self.device.borrow_mut();
                if after > head.unwrap_or_default().seq {
                    drop(device);
                    self.violation(format_args!("{room} joins after {after}, which is not yet"));
                    return true;
                }
                let view = View {
                    checker: ReaderChecker::resuming(room.to_string(), i(after)),
                    start: after,
                    seen: true,
                    lied: false,
                };
                // One of which nothing was seen is in our books alone: its first events may have been on their way.
                if device.views.insert(room, view).is_some_and(|known| known.seen) {
                    drop(device);
                    self.violation(format_args!("{room} is announced though it was known"));
                }
            }
            Output::Left(room) => {
                self.note(format_args!("{room} is not ours"));
                self.device.borrow_mut().views.remove(&room);
            }
            Output::Resync(room, from, after, _) => self.resync(room, from, after),
            Output::Moment(_) | Output::Heartbeat => {}
            Output::Closed(reason) => {
                self.note(format_args!("closed: {reason:?}"));
                return false;
            }
            Output::Failed(error) => {
                self.note(format_args!("failed: {:?}", error.kind()));
                return false;
            }
        }
        true
    }

    fn resync(&self, room: RoomId, from: Seq, after: Seq) {
        self.note(format_args!("{room} resync from {from}, on after {after}"));
        let mut device = self.device.borrow_mut();
        let Some(view) = device.views.get_mut(&room) else {
            drop(device);
            self.violation(format_args!("resync of {room}, which was not asked for"));
            return;
        };
        let found = if std::mem::take(&mut view.lied) {
            view.checker = ReaderChecker::resuming(room.to_string(), i(after));
            Ok(())
        } else {
            view.checker.resync(i(from), i(after))
        };
        view.seen = true;
        drop(device);
        if let Err(found) = found {
            self.violation(found);
        }
    }

    async fn event(&self, event: &Event) {
        self.place(event.room, event.seq, Some(event)).await;
    }

    /// Something happened to a message that is not for this reader.
    async fn veiled(&self, room: RoomId, seq: Seq) {
        self.place(room, seq, None).await;
    }

    async fn place(&self, room: RoomId, seq: Seq, event: Option<&Event>) {
        let head = self.world.inner.head(room).await.expect("no faults here");
        let head = head.unwrap_or_default().seq;
        self.note(format_args!("sees {room}:{seq}"));
        let mut device = self.device.borrow_mut();
        device.given.push(Given { room, seq, head, about: event.and_then(Event::about), whole: event.is_some() });
        let user = device.user;
        let mut found = Vec::new();
        if device.only.is_some_and(|only| only != room) {
            found.push("sees a room it did not ask for".to_owned());
        }
        if seq > head {
            found.push(format!("sees {room}:{seq} before it is durable"));
        }
        let joins = event.is_some_and(|event| event.joins(user));
        let latest = device.heads.get(&room).copied().unwrap_or_default().next();
        if !device.views.contains_key(&room) {
            if !joins && seq > latest {
                found.push(format!("sees {room}:{seq} without having joined (stream began at {latest})"));
            }
            let view = View {
                checker: ReaderChecker::resuming(room.to_string(), i(seq) - 1),
                start: Seq(seq.0 - 1),
                seen: true,
                lied: false,
            };
            device.views.insert(room, view);
        }
        if let Some(view) = device.views.get_mut(&room) {
            if !view.seen {
                view.seen = true;
                if seq > view.start.next() {
                    found.push(format!("{room} begins with {seq}, the stream began after {}", view.start));
                }
            }
            if let Err(violation) = view.checker.observe(i(seq)) {
                found.push(violation.to_string());
            }
        }
        if event.is_some_and(|event| event.parts(user)) {
            device.views.remove(&room);
            device.heads.insert(room, seq);
        }
        drop(device);
        for what in found {
            self.violation(what);
        }
    }
}

pub(crate) fn joined(event: &Event) -> BTreeSet<UserId> {
    match &event.body {
        EventBody::Created { members, .. } | EventBody::Joined { members } => {
            members.iter().map(|(user, _)| *user).collect()
        }
        _ => BTreeSet::new(),
    }
}

pub(crate) fn left(event: &Event) -> BTreeSet<UserId> {
    match &event.body {
        EventBody::Left { users, .. } => users.iter().copied().collect(),
        _ => BTreeSet::new(),
    }
}
