//! Live readers of all rooms: steady ones, slow ones, and ones that drop their stream and come back with cursors.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem::discriminant,
    sync::Arc,
    time::Duration,
};

use tertulia::{
    client::{
        Backoff, Client, ClientError, Command, LiveClient, LiveCommands, LiveItem, LiveMode, LiveOptions, LiveStats,
        Reply,
    },
    domain::invariants::ReaderChecker,
};
use tertulia_proto::chat::v1::{Event, MarkMessagesAsReadRequest, event};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    data::{READERS, TestRoom},
    server::Address,
};

/// A slow reader reads this many events,
const SLOW_STRETCH: usize = 150;
/// and then nothing for so long.
const SLOW_PAUSE: Duration = Duration::from_millis(150);
/// A reader that drops its stream does it this often.
const DROP_EVERY: Duration = Duration::from_millis(350);
/// A reader that marks rooms as read does it after this many events of a room.
const MARK_EVERY: i64 = 200;
/// Findings told of one reader; what one missed, it missed in every room.
const FOUND_MAX: usize = 8;
/// Errors that no waiting mends, before a reader gives up.
const ERRORS_MAX: usize = 5;

/// Where the rooms end; known when nobody sends any more.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Room id to the seq of its last event.
    pub(crate) last_seqs: Arc<HashMap<String, i64>>,
    /// When a reader must have come there.
    pub(crate) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Steady,
    Slow,
    Dropping,
}

/// What a reader did and saw.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) user: i64,
    pub(crate) habit: Habit,
    pub(crate) mode: LiveMode,
    marks: bool,
    at: Address,
    client: Client,
    /// By room id.
    pub(crate) rooms: BTreeMap<String, Seen>,
    pub(crate) opened: u64,
    pub(crate) drops: usize,
    pub(crate) replaced: usize,
    pub(crate) found: Vec<String>,
    errors: usize,
    since_pause: usize,
}

/// What a reader saw of one room.
#[derive(Debug)]
pub(crate) struct Seen {
    name: String,
    checker: ReaderChecker,
    /// Digest of each event, in the order of arrival.
    pub(crate) digests: Vec<u64>,
    /// Greatest seq that this reader asked to be marked as read,
    pub(crate) asked: i64,
    /// and the greatest that was acknowledged.
    pub(crate) marked: i64,
}

type Marks = JoinSet<(String, Result<i64, ClientError>)>;

/// The readers of the test: five slow, five that drop, the rest steady; each RPC has some of each.
pub(crate) fn all(at: &Address, rooms: &[TestRoom]) -> Vec<Reader> {
    let habit = |index: usize| match index {
        0..5 => Habit::Slow,
        5..10 => Habit::Dropping,
        _ => Habit::Steady,
    };
    let reader = |(index, user): (usize, i64)| Reader {
        user,
        habit: habit(index),
        mode: [LiveMode::Session, LiveMode::Stream][index % 2],
        marks: index % 3 == 0,
        at: at.clone(),
        client: at.client(user, false),
        rooms: rooms.iter().map(Seen::nothing_of).collect(),
        opened: 0,
        drops: 0,
        replaced: 0,
        found: Vec::new(),
        errors: 0,
        since_pause: 0,
    };
    READERS.enumerate().map(reader).collect()
}

impl Seen {
    fn nothing_of(room: &TestRoom) -> (String, Self) {
        let seen = Self {
            name: room.name.clone(),
            checker: ReaderChecker::resuming(room.name.clone(), 0),
            digests: Vec::new(),
            asked: 0,
            marked: 0,
        };
        (room.id.clone(), seen)
    }
}

impl Reader {
    /// Reads until it has come to the `ends`, or until their deadline.
    pub(crate) async fn read(mut self, mut ends: watch::Receiver<Option<Ends>>) -> Self {
        let nothing = self.rooms.keys().map(|room| (room.clone(), 0)).collect();
        let mut live = self.open(nothing);
        let mut marks = Marks::new();
        let mut drop_at = Instant::now() + DROP_EVERY;
        loop {
            let known = ends.borrow_and_update().clone();
            let arrived = known.as_ref().is_some_and(|ends| self.is_at(ends));
            if arrived || self.errors > ERRORS_MAX {
                break;
            }
            tokio::select! {
                item = live.next() => self.take(item, live.commands(), &mut marks).await,
                Some(done) = marks.join_next() => self.marked(done.expect("marking does not panic")),
                () = sleep_until(drop_at), if self.habit == Habit::Dropping => {
                    drop_at = Instant::now() + DROP_EVERY;
                    live = self.drop_and_come_back(live);
                }
                Ok(()) = ends.changed() => {}
                () = overdue(known.as_ref()) => break,
            }
        }
        // Those that wait for an answer on this stream would wait for ever.
        marks.abort_all();
        self.count(live.stats());
        self
    }

    fn open(&self, cursors: HashMap<String, i64>) -> LiveClient {
        let options = LiveOptions {
            client_id: format!("reader {}", self.user),
            user_id: self.user,
            cursors: Some(cursors),
            mode: self.mode,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_millis(500)),
            ..LiveOptions::default()
        };
        LiveClient::new(self.client.clone(), options)
    }

    /// Half of the times the connection goes too.
    fn drop_and_come_back(&mut self, live: LiveClient) -> LiveClient {
        self.drops += 1;
        self.count(live.stats());
        let cursors = live.cursors().clone();
        drop(live);
        if self.drops.is_multiple_of(2) {
            self.client = self.at.client(self.user, false);
        }
        self.open(cursors)
    }

    fn count(&mut self, stats: LiveStats) {
        self.opened += stats.opened;
        let LiveStats { duplicates, gaps, resyncs, .. } = stats;
        if duplicates + gaps + resyncs > 0 {
            self.found.push(format!("{duplicates} events twice, {gaps} gaps, {resyncs} resyncs on one stream"));
        }
    }

    async fn take(&mut self, item: Result<LiveItem, ClientError>, commands: LiveCommands, marks: &mut Marks) {
        match item {
            Ok(LiveItem::Event(event)) => {
                self.observe(&event);
                self.mark(&event, commands, marks);
                self.since_pause += 1;
                if self.habit == Habit::Slow && self.since_pause >= SLOW_STRETCH {
                    self.since_pause = 0;
                    sleep(SLOW_PAUSE).await;
                }
            }
            Ok(LiveItem::Up | LiveItem::Down { .. }) => {}
            // Its own stream of before, on another connection, was slower to arrive; this one is the newest, so it may
            // insist. Rare: the server passes over those whose client has gone.
            Err(error) if self.habit == Habit::Dropping && error.reason() == "stream_replaced" => {
                self.replaced += 1;
            }
            Err(error) => {
                self.errors += 1;
                self.found.push(format!("the stream ended for good: {error}"));
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        if event.seq == 0 {
            return;
        }
        let Some(seen) = self.rooms.get_mut(&event.room_id) else {
            let (room, seq) = (&event.room_id, event.seq);
            return self.found.push(format!("event {seq} of foreign room {room}"));
        };
        if let Err(violation) = seen.checker.observe(event.seq) {
            self.found.push(format!("room {}: {violation}", seen.name));
        }
        seen.digests.push(digest(event));
    }

    /// Marks the room as read now and then, on the way that the stream itself goes if it can carry commands.
    fn mark(&mut self, event: &Event, commands: LiveCommands, marks: &mut Marks) {
        let wanted = self.marks && event.seq > 0 && event.seq % MARK_EVERY == 0;
        let Some(seen) = self.rooms.get_mut(&event.room_id).filter(|_| wanted) else {
            return;
        };
        seen.asked = seen.asked.max(event.seq);
        let request = MarkMessagesAsReadRequest {
            room_id: event.room_id.clone(),
            up_to_seq: event.seq,
            ..MarkMessagesAsReadRequest::default()
        };
        let (room, client) = (event.room_id.clone(), self.client.clone());
        let commands = (self.mode == LiveMode::Session).then_some(commands);
        marks.spawn(async move {
            let answer = match commands {
                None => client.mark_messages_as_read(request).await,
                Some(commands) => {
                    commands.call(Command::MarkMessagesAsRead(request)).await.and_then(|reply| match reply {
                        Reply::MarkMessagesAsRead(answer) => Ok(answer),
                        _ => Err(ClientError::Unexpected { what: "the answer to another command" }),
                    })
                }
            };
            (room, answer.map(|answer| answer.read_seq))
        });
    }

    fn marked(&mut self, (room, answer): (String, Result<i64, ClientError>)) {
        let seen = self.rooms.get_mut(&room).expect("its own room");
        match answer {
            Ok(read_seq) => seen.marked = seen.marked.max(read_seq),
            // The server was away; the next mark says it all.
            Err(error) if error.is_transient() => {}
            Err(error) => self.found.push(format!("room {}: cannot mark as read: {error}", seen.name)),
        }
    }

    fn is_at(&self, ends: &Ends) -> bool {
        self.rooms.iter().all(|(room, seen)| seen.checker.cursor() >= ends.last_seqs[room])
    }

    /// Everything found wrong with what this reader saw, held against the digests of the rooms' logs.
    pub(crate) fn judge(&self, logs: &HashMap<String, Vec<u64>>) -> Vec<String> {
        let mut found = self.found.clone();
        for (room, seen) in &self.rooms {
            let log = &logs[room];
            let last_seq = i64::try_from(log.len()).expect("a log in memory");
            if let Err(violation) = seen.checker.finish(last_seq) {
                found.push(format!("room {}: {violation}", seen.name));
            }
            let differs = log.iter().zip(&seen.digests).position(|(a, b)| a != b);
            if let Some(index) = differs {
                let (name, seq) = (&seen.name, index + 1);
                found.push(format!("room {name}: saw another event {seq} than the log has"));
            } else if log.len() != seen.digests.len() {
                let (name, saw, has) = (&seen.name, seen.digests.len(), log.len());
                found.push(format!("room {name}: saw {saw} events, the log has {has}"));
            }
        }
        let who = format!("reader {} ({:?}, {:?})", self.user, self.habit, self.mode);
        if found.len() > FOUND_MAX {
            let more = found.split_off(FOUND_MAX).len();
            found.push(format!("and {more} more"));
        }
        let with_name = |what: String| format!("{who}: {what}");
        found.into_iter().map(with_name).collect()
    }
}

async fn overdue(ends: Option<&Ends>) {
    match ends {
        Some(ends) => sleep_until(ends.deadline).await,
        None => std::future::pending().await,
    }
}

/// What an event says to every reader alike.
pub(crate) fn digest(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&event.room_id, event.seq, event.user_id).hash(&mut hasher);
    event.event.as_ref().map(discriminant).hash(&mut hasher);
    match &event.event {
        Some(event::Event::Message(message)) => {
            (message.id, message.n, message.sender_id).hash(&mut hasher);
            (&message.content, &message.client_message_id).hash(&mut hasher);
            (message.reply_to, &message.mentions).hash(&mut hasher);
        }
        Some(event::Event::RoomJoin(join)) => {
            join.participants.iter().for_each(|joined| joined.user_id.hash(&mut hasher))
        }
        Some(event::Event::RoomLeave(leave)) => leave.user_ids.hash(&mut hasher),
        Some(event::Event::ParticipantUpdate(update)) => {
            let changed = update.participant.as_ref();
            changed.map(|member| (member.user_id, &member.nickname)).hash(&mut hasher);
        }
        _ => {}
    }
    hasher.finish()
}
