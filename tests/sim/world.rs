//! The world of one run: the store under its faults, the node that runs over it, the time, and what is written down.
//!
//! Everything happens on one thread and by one seed. Killing the node ends its actors and cuts its clients off; what
//! it had handed to the store goes on, and may still land when the next node is running.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest as _, Sha256};
use tertulia::{
    actors::{
        Node, Observer, Options, RoomKeys,
        error::{Call, CallError},
        ops::Parts,
    },
    clock::{SharedClock, TokioClock},
    domain::{
        event::Event,
        ids::{ExternalRef, MessageId, RoomId, Seq, UserId},
        message::ForwardedFrom,
        snowflake::Snowflakes,
    },
    events::InProcessBus,
    storage::{
        Durability, Outcome, Store,
        embedded::EmbeddedStore,
        layer::faulty::{FaultPlan, Faults, Faulty},
    },
};
use tokio::sync::Notify;

use crate::planted::{self, Planted};

/// When every run begins, milliseconds since the Unix epoch.
const START_MS: i64 = 1_750_000_000_000;
/// Events the bus keeps for the run's subscriber.
const BUS_CAPACITY: usize = 1 << 14;

/// What a seed decides about its run before it begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) users: i64,
    pub(crate) rooms: usize,
    pub(crate) talkers_per_user: u64,
    pub(crate) devices_per_user: u64,
    pub(crate) run_ms: u64,
    pub(crate) pause_ms: u64,
    /// Nothing fails and nothing is killed: then every answer must be a certain one.
    pub(crate) calm: bool,
    pub(crate) faults: Faults,
    pub(crate) options: Options,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let r = &mut random;
        let calm = r.random_bool(0.25);
        let options = Options {
            room_idle: Duration::from_millis(r.random_range(100..1_500)),
            warm_messages: r.random_range(1..12),
            queue_max: pick(r, &[2, 8, 64]),
            batch_max: pick(r, &[1, 3, 16, 256]),
            members_max: 50,
            anyone_joins_all: true,
            referrers: Default::default(),
            in_flight_max: pick(r, &[8, 64, 4_096]),
            streams_per_user_max: 3,
            stream_queue_bytes_max: pick(r, &[300, 1_200, 1 << 20]),
            catch_up_max: pick(r, &[5, 40, 10_000]),
            heartbeat: Duration::from_secs(15),
            user_idle: Duration::from_millis(r.random_range(100..3_000)),
            request_timeout: Duration::from_millis(if calm { 60_000 } else { pick(r, &[300, 2_000]) }),
            durability: Durability::Synced,
            // Without drawing, so that old seeds tell what they told.
            warm_room_bytes: if seed.is_multiple_of(3) { 3_000 } else { 1 << 20 },
            warm_node_bytes: if seed.is_multiple_of(4) { 30_000 } else { 128 << 20 },
            ..Options::default()
        };
        let scale = pick(r, &[0.02, 0.06, 0.15]);
        let delay_max = Duration::from_millis(pick(r, &[3, 30, 150]));
        let delays = Faults {
            delay_before: pick(r, &[0.0, 0.3, 0.9]),
            delay_after: pick(r, &[0.0, 0.3, 0.9]),
            read_delay: pick(r, &[0.0, 0.1, 0.5]),
            delay_min: Duration::from_millis(1),
            delay_max,
            ..Faults::default()
        };
        let faults = if calm {
            delays
        } else {
            Faults {
                fail_before: scale * r.random::<f64>(),
                fail_after: scale * r.random::<f64>(),
                late: scale * r.random::<f64>(),
                read_fail: 0.3 * scale * r.random::<f64>(),
                ..delays
            }
        };
        Self {
            users: r.random_range(2..6),
            rooms: r.random_range(1..4),
            talkers_per_user: r.random_range(1..4),
            devices_per_user: r.random_range(1..3),
            run_ms: r.random_range(1_000..6_000),
            pause_ms: pick(r, &[4, 30, 120]),
            calm,
            faults,
            options,
        }
    }
}

pub(crate) fn pick<T: Copy>(random: &mut StdRng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// Everything goes wrong.
    Running,
    /// Nothing fails any more; what was begun is finished, streams stay.
    Settling,
    /// The end.
    Over,
}

/// What happened, in order, and its hash.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Sha256,
    pub(crate) lines: Vec<String>,
}

/// A send, as its sender knows it.
#[derive(Debug, Default)]
pub(crate) struct SendRecord {
    pub(crate) room: Option<RoomId>,
    pub(crate) user: i64,
    pub(crate) client_id: String,
    pub(crate) external: Option<ExternalRef>,
    pub(crate) forwarded_from: Option<ForwardedFrom>,
    pub(crate) acked: Option<(Seq, MessageId)>,
    /// Some attempt may have had an effect without being acknowledged.
    pub(crate) doubt: bool,
}

/// An edit, as its author knows it.
#[derive(Debug)]
pub(crate) struct EditRecord {
    pub(crate) room: RoomId,
    pub(crate) id: MessageId,
    pub(crate) content: String,
    pub(crate) acked: bool,
    pub(crate) doubt: bool,
}

/// What clients know; shared by all of them.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) messages: Vec<(RoomId, MessageId, UserId)>,
    pub(crate) sends: Vec<SendRecord>,
    pub(crate) edits: Vec<EditRecord>,
    /// Read positions that were acknowledged.
    pub(crate) read: BTreeMap<(RoomId, UserId), Seq>,
    pub(crate) created: BTreeSet<RoomId>,
}

/// How a call ended for its client.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Done(T),
    /// Certainly nothing happened.
    Refused(CallError),
    /// It may have happened.
    Doubt(&'static str),
}

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    /// Without faults: what really is in the store.
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) faults: FaultPlan,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) book: RefCell<Book>,
    pub(crate) violations: RefCell<Vec<String>>,
    pub(crate) planted: Planted,
    clock: SharedClock,
    keys: Arc<Keys>,
    node: RefCell<Option<Node>>,
    generation: Signal<u64>,
    phase: Signal<Phase>,
    trace: RefCell<Trace>,
    pub(crate) print: Cell<bool>,
}

/// A value that can be waited for. Wakes those who wait in the order in which they came, which tokio's own watch channel
/// does not.
#[derive(Debug)]
struct Signal<T: Copy> {
    value: Cell<T>,
    notify: Notify,
}

impl<T: Copy> Signal<T> {
    fn new(value: T) -> Self {
        Self { value: Cell::new(value), notify: Notify::new() }
    }

    fn get(&self) -> T {
        self.value.get()
    }

    fn set(&self, value: T) {
        self.value.set(value);
        self.notify.notify_waiters();
    }

    async fn changed(&self) {
        self.notify.notified().await;
    }
}

/// Keys and room ids of the seed.
#[derive(Debug)]
struct Keys(Mutex<StdRng>);

impl RoomKeys for Keys {
    fn fresh_room_id(&self) -> RoomId {
        RoomId::from_random(self.0.lock().random())
    }

    fn fresh(&self, room: RoomId) -> String {
        format!("key of {room}")
    }

    fn decrypt(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

#[derive(Debug)]
struct Silent;

impl Observer for Silent {
    fn appended(&self, _: tertulia::domain::room::RoomType, _: &[Event]) {}
}

impl World {
    pub(crate) fn new(seed: u64, bug: planted::Bug) -> Rc<Self> {
        let plan = Plan::of(seed);
        let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory());
        let planted = Planted::new(Arc::clone(&inner), bug);
        let faults = FaultPlan::new(plan.faults);
        let store = Faulty::new(planted.store(), seed ^ 0x5eed, faults.clone());
        Rc::new(Self {
            seed,
            inner,
            store: Arc::new(store),
            faults,
            bus: Arc::new(InProcessBus::new(BUS_CAPACITY)),
            book: RefCell::default(),
            violations: RefCell::default(),
            planted,
            clock: Arc::new(TokioClock::starting_at(START_MS)),
            keys: Arc::new(Keys(Mutex::new(StdRng::seed_from_u64(seed ^ 0x1d)))),
            node: RefCell::default(),
            generation: Signal::new(0),
            phase: Signal::new(Phase::Running),
            trace: RefCell::default(),
            plan,
            print: Cell::new(false),
        })
    }

    /// Randomness for one part of the world.
    pub(crate) fn random(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(part))
    }

    pub(crate) fn note(&self, line: impl std::fmt::Display) {
        let mut text = String::new();
        let ms = self.clock.now_ms() - START_MS;
        write!(text, "{ms:>6} {line}").expect("a string takes all");
        if self.print.get() {
            eprintln!("{text}");
        }
        let mut trace = self.trace.borrow_mut();
        trace.hash.update(text.as_bytes());
        trace.hash.update([b'\n']);
        trace.lines.push(text);
    }

    pub(crate) fn violation(&self, what: impl std::fmt::Display) {
        self.note(format_args!("VIOLATION {what}"));
        self.violations.borrow_mut().push(what.to_string());
    }

    /// The hash of all that happened.
    pub(crate) fn trace_hash(&self) -> String {
        hex::encode(self.trace.borrow().hash.clone().finalize())
    }

    pub(crate) fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.trace.borrow_mut().lines)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.note(format_args!("== {phase:?}"));
        self.phase.set(phase);
    }

    /// Waits until the run has come as far as `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        while self.phase.get() < phase {
            self.phase.changed().await;
        }
    }

    /// The node, if one is running.
    pub(crate) fn node(&self) -> Option<Node> {
        self.node.borrow().clone()
    }

    /// The node, as soon as one is running.
    pub(crate) async fn node_up(&self) -> Node {
        loop {
            if let Some(node) = self.node() {
                return node;
            }
            self.generation.changed().await;
        }
    }

    /// Counts nodes that began or ended.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Waits until the node of this generation is no more.
    pub(crate) async fn cut_off(&self, generation: u64) {
        while self.generation.get() == generation {
            self.generation.changed().await;
        }
    }

    pub(crate) async fn start_node(self: &Rc<Self>) {
        let node = Node::start(Parts {
            store: Arc::clone(&self.store),
            bus: Arc::<InProcessBus>::clone(&self.bus),
            ephemera: Arc::new(tertulia::ephemera::Alone::default()),
            clock: Arc::clone(&self.clock),
            keys: Arc::<Keys>::clone(&self.keys),
            ids: Snowflakes::new(1),
            observer: Arc::new(Silent),
            options: self.plan.options.clone(),
        })
        .await
        .expect("a node starts");
        self.note("node started");
        *self.node.borrow_mut() = Some(node.clone());
        self.generation.set(self.generation.get() + 1);
        let world = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let recovered = async {
                while let Err(error) = node.recover().await {
                    world.note(format_args!("recovery failed: {:?}", error.kind()));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let generation = world.generation();
            tokio::select! { biased; () = world.cut_off(generation) => {}, () = recovered => {} }
        });
    }

    /// The process dies.
    pub(crate) fn kill_node(&self) {
        self.note("node killed");
        if let Some(node) = self.node.borrow_mut().take() {
            node.kill();
        }
        self.planted.killed();
        self.generation.set(self.generation.get() + 1);
    }

    /// The node goes down as it should.
    pub(crate) async fn drain_node(&self) {
        self.note("node drains");
        if let Some(node) = self.node() {
            let drained = node.drain(Duration::from_secs(20)).await;
            self.note(format_args!("drained: {drained}"));
            if !drained && self.plan.calm {
                self.violation("a node that nothing disturbs cannot be drained");
            }
        }
        self.kill_node();
    }

    /// Calls the node as a client does: cut off when the node dies, or when the client loses patience.
    pub(crate) async fn call<T>(&self, patience_ms: u64, call: impl Future<Output = Call<T>>) -> Answer<T> {
        let generation = self.generation();
        let patience = tokio::time::sleep(Duration::from_millis(patience_ms));
        let answer = tokio::select! {
            biased;
            () = self.cut_off(generation) => return Answer::Doubt("cut off"),
            answer = call => answer,
            () = patience => return Answer::Doubt("gave up"),
        };
        match answer {
            Ok(value) => Answer::Done(value),
            Err(error) if error.outcome() == Outcome::NotApplied => Answer::Refused(error),
            Err(error) => {
                if self.plan.calm {
                    self.violation(format_args!("nothing was disturbed, and yet: {error:?}"));
                }
                Answer::Doubt(match error {
                    CallError::Dropped => "dropped",
                    CallError::Deadline => "deadline",
                    _ => "store",
                })
            }
        }
    }
}
