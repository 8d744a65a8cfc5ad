//! Tests of the actors: real ones, over a store in memory, on a paused clock.

mod histories;
mod lists;
mod numbers;
mod paging;
mod people;
mod recovery;
mod rooms;
mod shares;
mod stalls;
mod store;
mod streams;
mod views;

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::timeout;

use self::store::{Fate, ScriptedStore};
use super::{
    Node, Observer, Options, RoomKeys,
    error::{Call, CallError},
    ops::{NewRoom, Parts},
    room::SendAck,
    user::{OpenStream, Output, StreamReader},
};
use crate::{
    clock::{SharedClock, TokioClock},
    domain::{
        event::{Event, EventBody},
        ids::{ClientMessageId, RoomId, Seq, UserId},
        message::Draft,
        reject::Reject,
        room::{Author, Referrers, RoomType},
        snowflake::Snowflakes,
    },
    events::InProcessBus,
    storage::{Direction, LogStore as _, Store, StoreErrorKind, codec},
};

pub(crate) const ANA: Author = author(1);
pub(crate) const BEN: Author = author(2);
pub(crate) const EVA: Author = author(3);
pub(crate) const ROOT: Author = Author { user: UserId(99), admin: true };
const NOW_MS: i64 = 1_790_000_000_000;
/// How long a test waits for what must come. The clock is paused: it costs nothing.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) const fn author(user: i64) -> Author {
    Author { user: UserId(user), admin: false }
}

/// Clients' ciphertext is the text behind `enc:`.
#[derive(Debug)]
struct Keys;

impl RoomKeys for Keys {
    fn fresh(&self, room: RoomId) -> String {
        format!("key of {room}")
    }

    fn decrypt(&self, _: &str, content: &str) -> Option<String> {
        content.strip_prefix("enc:").map(str::to_owned)
    }
}

#[derive(Debug, Default)]
struct Appended(Mutex<usize>);

impl Observer for Appended {
    fn appended(&self, _: RoomType, events: &[Event]) {
        *self.0.lock() += events.len();
    }
}

/// A node and what it stands on.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) node: Node,
    pub(crate) store: Arc<ScriptedStore>,
    pub(crate) bus: Arc<InProcessBus>,
    clock: SharedClock,
    options: Options,
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options { anyone_joins_all: true, referrers: Referrers::RoomAdmins, ..Options::default() };
        set(&mut options);
        let store = Arc::new(ScriptedStore::new());
        let bus = Arc::new(InProcessBus::new(10_000));
        let clock: SharedClock = Arc::new(TokioClock::starting_at(NOW_MS));
        let node = start(&store, &bus, &clock, &options).await;
        Self { node, store, bus, clock, options }
    }

    /// Another node on the same store, as after a restart or beside the first one.
    pub(crate) async fn another_node(&self) -> Node {
        start(&self.store, &self.bus, &self.clock, &self.options).await
    }

    /// A group of ANA (OWNER), BEN and EVA.
    pub(crate) async fn group(&self) -> RoomId {
        self.room(RoomType::Group, "the group", &[BEN.user, EVA.user]).await
    }

    pub(crate) async fn room(&self, room_type: RoomType, name: &str, others: &[UserId]) -> RoomId {
        let (summary, made) = self.node.create_room(ANA, new_room(room_type, name, others)).await.unwrap();
        assert!(made);
        summary.info.id
    }

    pub(crate) async fn say(&self, who: Author, room: RoomId, text: &str) -> SendAck {
        self.try_say(who, room, text, text).await.unwrap()
    }

    pub(crate) async fn try_say(&self, who: Author, room: RoomId, client_id: &str, content: &str) -> Call<SendAck> {
        self.node.send(who, room, text(content), id(client_id)).await
    }

    /// A send under way.
    pub(crate) fn saying(&self, who: Author, room: RoomId, client_id: &str) -> tokio::task::JoinHandle<Call<SendAck>> {
        let (node, client_id) = (self.node.clone(), id(client_id));
        spawn(async move { node.send(who, room, text(&client_id.0), client_id.clone()).await })
    }

    /// The room's log, as the store has it.
    pub(crate) async fn log(&self, room: RoomId) -> Vec<Event> {
        let records = self.store.read_log(room, Seq(0), Direction::Forward, 100_000).await.unwrap();
        records.iter().map(|record| codec::decode_event(room, record).unwrap()).collect()
    }

    /// Texts of all messages in the log.
    pub(crate) async fn texts(&self, room: RoomId) -> Vec<String> {
        let log = self.log(room).await;
        log.iter().filter_map(Event::message).map(|m| m.draft.content.clone()).collect()
    }

    pub(crate) async fn stream(&self, who: Author, open: OpenStream) -> StreamReader {
        self.node.users().open(who.user, open).await.unwrap()
    }

    /// A stream of all rooms from now on, past its first `Connected`.
    pub(crate) async fn listen(&self, who: Author) -> StreamReader {
        let mut reader = self.stream(who, open("phone", &[])).await;
        assert!(matches!(reader.next().await, Output::Heartbeat));
        reader
    }

    /// Puts a room to sleep.
    pub(crate) async fn sleep(&self, room: RoomId) {
        assert!(self.node.rooms().passivate(room).await, "the room sleeps");
    }
}

async fn start(store: &Arc<ScriptedStore>, bus: &Arc<InProcessBus>, clock: &SharedClock, options: &Options) -> Node {
    Node::start(Parts {
        store: Arc::clone(store) as Arc<dyn Store>,
        bus: Arc::<InProcessBus>::clone(bus),
        ephemera: Arc::new(crate::ephemera::Alone::default()),
        clock: Arc::clone(clock),
        keys: Arc::new(Keys),
        ids: Snowflakes::new(0),
        observer: Arc::new(Appended::default()),
        options: options.clone(),
    })
    .await
    .unwrap()
}

pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    crate::tasks::spawn(crate::tasks::TaskKind::Client, future)
}

pub(crate) fn new_room(room_type: RoomType, name: &str, others: &[UserId]) -> NewRoom {
    NewRoom {
        room_type,
        participants: others.to_vec(),
        name: name.to_owned(),
        description: String::new(),
        picture: String::new(),
        join_all_users: false,
        members_can_send: None,
        history_visible: None,
        client_room_id: String::new(),
    }
}

pub(crate) fn open(client_id: &str, cursors: &[(RoomId, u64)]) -> OpenStream {
    OpenStream {
        client_id: client_id.to_owned(),
        cursors: cursors.iter().map(|(room, seq)| (*room, Seq(*seq))).collect(),
        ..OpenStream::default()
    }
}

pub(crate) fn id(client_id: &str) -> ClientMessageId {
    ClientMessageId(client_id.into())
}

pub(crate) fn text(content: &str) -> Draft {
    Draft { content: content.to_owned(), ..Draft::default() }
}

/// Lets everything that can run do so, without the clock moving.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn rejected<T: Debug>(answer: Call<T>) -> Reject {
    match answer {
        Err(CallError::Rejected(reject)) => reject,
        other => panic!("not a rejection: {other:?}"),
    }
}

/// The next thing a stream says, other than `Connected`.
pub(crate) async fn next(reader: &mut StreamReader) -> Output {
    let said = async {
        loop {
            match reader.next().await {
                Output::Heartbeat => {}
                other => return other,
            }
        }
    };
    timeout(PATIENCE, said).await.expect("the stream says nothing more")
}

/// The next events of a stream: at least `count` of them.
pub(crate) async fn events(reader: &mut StreamReader, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while events.len() < count {
        match next(reader).await {
            Output::Batch(batch) => events.extend(batch.events.iter().map(|e| e.as_ref().clone())),
            Output::Events(read) => {
                events.extend(read.iter().map(|seen| seen.event().expect("nothing is veiled").clone()))
            }
            Output::Moment(_) => {}
            other => panic!("after {} events: {other:?}", events.len()),
        }
    }
    events
}

pub(crate) fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

/// Whether the stream has nothing to say but that it is alive.
pub(crate) async fn is_quiet(reader: &mut StreamReader) -> bool {
    settle().await;
    let said = async {
        loop {
            match reader.next().await {
                Output::Heartbeat => {}
                other => return other,
            }
        }
    };
    timeout(Duration::from_secs(1), said).await.is_err()
}

fn content(event: &Event) -> Option<&str> {
    match &event.body {
        EventBody::Message(message) => Some(&message.draft.content),
        _ => None,
    }
}
