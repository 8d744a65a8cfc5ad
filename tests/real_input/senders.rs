//! Everything that sends: the importer, and in every room a crowd that sends at once. What was acknowledged to them
//! goes into the ledger.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tertulia::client::{
    ClientError,
    irc::import::{ImportError, ImportOptions, ImportReport, import},
};
use tertulia_proto::chat::v1::{Durability, Message, SendMessageRequest, SendMessageResponse};
use tokio::time::{Instant, sleep};

use super::{
    data::{Logs, TestRoom},
    server::Address,
};

/// Messages of one member of the crowd.
pub(crate) const CROWD_SENDS: usize = 30;
/// How long a client tries the same call again: many times as long as the server is ever away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks at a condition, for the many who wait for their turn.
const LOOK_EVERY: Duration = Duration::from_millis(15);
/// The same for the one who must not miss a short moment.
const LOOK_CLOSELY: Duration = Duration::from_millis(1);

/// What was acknowledged, and how far everything is.
#[derive(Default)]
pub(crate) struct Ledger {
    acked: Mutex<Vec<Message>>,
    imported: AtomicUsize,
    crowd_in_flight: AtomicUsize,
    /// Acks that said that the send had happened before: an answer was lost and the retry found it.
    repeated: AtomicUsize,
    wrong: Mutex<Vec<String>>,
    may_be_buffered: bool,
}

impl Ledger {
    /// For a database that may answer before its disk has what it says.
    pub(crate) fn of_any_durability() -> Self {
        Self { may_be_buffered: true, ..Self::default() }
    }

    pub(crate) fn ack(&self, answer: &SendMessageResponse) {
        let Some(message) = answer.message.clone() else {
            return self.wrong("a send was acknowledged without its message".to_owned());
        };
        let is_buffered = answer.durability == i32::from(Durability::Buffered);
        if answer.durability != i32::from(Durability::Synced) && !(is_buffered && self.may_be_buffered) {
            let (id, durability) = (message.id, answer.durability);
            self.wrong(format!("message {id} was acknowledged as {durability}"));
        }
        let repeated = usize::from(answer.duplicate);
        self.repeated.fetch_add(repeated, Ordering::Relaxed);
        self.acked.lock().push(message);
    }

    /// What became of a send.
    pub(crate) fn note(&self, answer: Result<SendMessageResponse, ClientError>) {
        match answer {
            Ok(answer) => self.ack(&answer),
            Err(error) => self.wrong(format!("a send failed for good: {error}")),
        }
    }

    pub(crate) fn wrong(&self, what: String) {
        self.wrong.lock().push(what);
    }

    /// How many were acknowledged.
    pub(crate) fn acked(&self) -> usize {
        self.acked.lock().len()
    }

    /// Acknowledged messages by room.
    pub(crate) fn by_room(&self) -> HashMap<String, Vec<Message>> {
        let mut rooms: HashMap<String, Vec<Message>> = HashMap::new();
        for message in self.acked.lock().iter() {
            let room = rooms.entry(message.room_id.clone()).or_default();
            room.push(message.clone());
        }
        rooms
    }

    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock())
    }

    pub(crate) fn repeated(&self) -> usize {
        self.repeated.load(Ordering::Relaxed)
    }

    pub(crate) fn imported(&self) -> usize {
        self.imported.load(Ordering::Relaxed)
    }

    /// Sends of the crowd that have left and are not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.crowd_in_flight.load(Ordering::Relaxed)
    }

    /// Waits until `is_so`.
    async fn until(&self, look_every: Duration, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            sleep(look_every).await;
        }
    }
}

/// Imports the logs over any number of deaths of the server.
pub(crate) async fn import_logs(
    logs: &Logs,
    at: Address,
    ledger: Option<Arc<Ledger>>,
) -> Result<ImportReport, ImportError> {
    let url = at.url.clone();
    let token_for = Arc::new(move |user: i64, name: &str| at.token(user, name, true));
    let mut options = ImportOptions::new(&logs.dir, url, token_for);
    options.progress = false;
    options.retry.budget = PATIENCE;
    options.retry.wait_max = Duration::from_millis(500);
    if let Some(ledger) = ledger {
        options.on_ack = Some(Arc::new(move |answer| {
            ledger.ack(answer);
            ledger.imported.fetch_add(1, Ordering::Relaxed);
        }));
    }
    import(options).await
}

/// What one member of the crowd sends, the `index`-th time.
pub(crate) fn crowd_request(room: &TestRoom, user: i64, index: usize) -> SendMessageRequest {
    SendMessageRequest {
        room_id: room.id.clone(),
        content: format!("{index} from {user}: «{}» — здравствуйте 👋", room.name),
        client_message_id: format!("crowd:{user}:{index}"),
        ..SendMessageRequest::default()
    }
}

/// One member of the crowd: sends all its messages one by one, evenly over the import, at the same places as everybody
/// else, so that many send at once.
pub(crate) async fn join_crowd(room: TestRoom, user: i64, at: Address, ledger: Arc<Ledger>, to_import: usize) {
    let client = at.client(user, false);
    for index in 0..CROWD_SENDS {
        let place = to_import * index / CROWD_SENDS;
        let my_turn = |ledger: &Ledger| ledger.imported() >= place;
        ledger.until(LOOK_EVERY, my_turn).await;
        ledger.crowd_in_flight.fetch_add(1, Ordering::Relaxed);
        let request = crowd_request(&room, user, index);
        let answer = client.send_until_acked(request, PATIENCE).await;
        ledger.crowd_in_flight.fetch_sub(1, Ordering::Relaxed);
        match answer {
            Ok(answer) => ledger.ack(&answer),
            Err(error) => ledger.wrong(format!("user {user} cannot send {index}: {error}")),
        }
    }
}

/// Sends again what was acknowledged: the answer must be the first one.
pub(crate) async fn send_again(
    at: &Address,
    room: &TestRoom,
    user: i64,
    index: usize,
) -> Result<SendMessageResponse, ClientError> {
    let request = crowd_request(room, user, index);
    at.client(user, false).send_until_acked(request, PATIENCE).await
}

/// Waits until a part of the import is done and enough of the crowd's sends are in flight.
pub(crate) async fn busy_at(ledger: &Ledger, imported: usize, in_flight: usize, longest: Duration) {
    let deadline = Instant::now() + longest;
    let busy = |ledger: &Ledger| {
        let (done, open) = (ledger.imported(), ledger.in_flight());
        assert!(
            Instant::now() < deadline,
            "{done} of {imported} imported, {open} of {in_flight} in flight: {:?}",
            ledger.wrong.lock()
        );
        done >= imported && open >= in_flight
    };
    ledger.until(LOOK_CLOSELY, busy).await;
}
