//! Commands over a session: pairs each answer with the caller that waits for it.
//!
//! Owns the request ids and the waiting callers; must not know when or why a session is reopened.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tertulia_proto::chat::v1::{SessionReply, SessionRequest, session_reply, session_request};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::error::{ClientError, Refusal};

/// What it answers.
pub use session_reply::Result as Reply;
/// What a session can be told.
pub use session_request::Command;

type Answer = Result<Reply, ClientError>;

/// Sends commands over whichever session is open now. Cheap to clone.
///
/// Answers arrive while the owner of the `LiveClient` polls it; a caller must therefore not be the task that does.
#[derive(Clone)]
pub struct LiveCommands {
    shared: Arc<Mutex<Shared>>,
    deadline: Duration,
}

#[derive(Default)]
struct Shared {
    /// Into the open session; none while there is none.
    out: Option<mpsc::Sender<SessionRequest>>,
    /// Last request id given out; 0 is the opening's.
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

impl fmt::Debug for LiveCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveCommands").field("waiting", &self.shared.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl LiveCommands {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { shared: Arc::default(), deadline }
    }

    /// Sends a command and waits for its answer. Commands go out in the order of the calls' first polls.
    ///
    /// # Errors
    /// `Lost` when no session is open or it breaks before the answer, `Deadline`, or the server's refusal. After
    /// `Lost { sent: true }` and `Deadline` the command may have been carried out.
    pub async fn call(&self, command: Command) -> Answer {
        let (id, out, answer) = self.register()?;
        let entry = Entry { commands: self, id };
        let request = SessionRequest { request_id: id, command: Some(command) };
        let exchange = async {
            out.send(request).await.map_err(|_| ClientError::Lost { sent: false })?;
            answer.await.unwrap_or(Err(ClientError::Lost { sent: true }))
        };
        let result = timeout(self.deadline, exchange).await;
        drop(entry);
        result.unwrap_or(Err(ClientError::Deadline { after: self.deadline }))
    }

    fn register(&self) -> Result<(u64, mpsc::Sender<SessionRequest>, oneshot::Receiver<Answer>), ClientError> {
        let mut shared = self.shared.lock();
        let out = shared.out.clone().ok_or(ClientError::Lost { sent: false })?;
        shared.last_id += 1;
        let id = shared.last_id;
        let (sender, receiver) = oneshot::channel();
        shared.waiting.insert(id, sender);
        Ok((id, out, receiver))
    }

    /// From now on commands go there.
    pub(crate) fn opened(&self, out: mpsc::Sender<SessionRequest>) {
        self.shared.lock().out = Some(out);
    }

    /// No session is open any more; nobody waits in vain.
    pub(crate) fn closed(&self) {
        let waiting = {
            let mut shared = self.shared.lock();
            shared.out = None;
            std::mem::take(&mut shared.waiting)
        };
        for caller in waiting.into_values() {
            // A caller that is gone needs no answer.
            let _ = caller.send(Err(ClientError::Lost { sent: true }));
        }
    }

    /// Hands an answer to its caller, if that still waits.
    pub(crate) fn answered(&self, reply: SessionReply) {
        let caller = self.shared.lock().waiting.remove(&reply.request_id);
        let answer = match reply.result {
            Some(Reply::Error(error)) => Err(Refusal::from_session(error).into()),
            Some(result) => Ok(result),
            None => Err(ClientError::Unexpected { what: "an answer without a result" }),
        };
        if let Some(caller) = caller {
            let _ = caller.send(answer);
        }
    }
}

/// Removes a caller from those that wait, also when it is dropped half way.
struct Entry<'a> {
    commands: &'a LiveCommands,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.commands.shared.lock().waiting.remove(&self.id);
    }
}
