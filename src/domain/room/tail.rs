//! The newest messages of a room as its writer keeps them warm, so many and about so many bytes, and the client ids of
//! somewhat more. Owns what is kept and what is known to be missing; knows no rule.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::domain::{
    ids::{ClientMessageId, Seq, UserId},
    message::{Attachment, Message},
};

/// Client ids are known for this many times as many messages as are kept warm, so that a send that waited in a full
/// queue need not be looked up again.
const IDS_PER_WARM: usize = 4;
/// A message without text takes about so many bytes.
const MESSAGE_BYTES: usize = 512;
/// A client id that is known takes about so many bytes.
const ID_BYTES: usize = 192;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    after: Seq,
    recent: HashMap<(UserId, ClientMessageId), Seq>,
    /// Keys of `recent` whose messages are no longer warm, oldest first.
    cooled: VecDeque<(UserId, ClientMessageId)>,
    known_after: Seq,
}

/// About how many bytes of memory a message takes, with the copy of it that goes to clients.
fn weight(message: &Message) -> usize {
    let draft = &message.draft;
    let file = |file: &Attachment| 64 + file.url.len() + file.mime.len() + file.name.len();
    let external = draft.external.as_ref().map_or(0, |e| e.source.len() + e.chat.len() + e.message.len());
    let said = draft.content.len()
        + draft.sender_name.len()
        + message.client_id.0.len()
        + external
        + draft.mentions.len() * 8
        + draft.attachments.iter().map(file).sum::<usize>()
        + draft.metadata.iter().map(|(key, value)| 64 + key.len() + value.len()).sum::<usize>()
        + message.edits.len() * 8
        + message.reactions.iter().map(|(reaction, _)| 48 + reaction.len()).sum::<usize>();
    MESSAGE_BYTES + 2 * said
}

impl Tail {
    /// Keeps at least one message, however large.
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            messages_max: messages_max.max(1),
            bytes_max,
            after: Seq(0),
            recent: HashMap::new(),
            cooled: VecDeque::new(),
            known_after: Seq(0),
        }
    }

    pub(super) fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// Begins anew: what comes up to `after` is not known.
    pub(super) fn begin(&mut self, after: Seq) {
        *self = Self { after, known_after: after, ..Self::new(self.messages_max, self.bytes_max) };
    }

    pub(super) const fn messages(&self) -> &VecDeque<Arc<Message>> {
        &self.messages
    }

    pub(super) const fn after(&self) -> Seq {
        self.after
    }

    pub(super) const fn known_after(&self) -> Seq {
        self.known_after
    }

    /// About how many bytes the messages take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes the client ids take.
    pub(super) fn id_bytes(&self) -> usize {
        self.recent.len() * ID_BYTES
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Arc<Message>> {
        self.messages.binary_search_by_key(&seq, |m| m.seq).ok().and_then(|i| self.messages.get(i))
    }

    pub(super) fn recent(&self, sender: UserId, client_id: &ClientMessageId) -> Option<Seq> {
        // A borrowed pair cannot look up an owned one; the clone is short and happens once a send.
        self.recent.get(&(sender, client_id.clone())).copied()
    }

    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.recent.insert((message.sender, message.client_id.clone()), message.seq);
        self.bytes += weight(&message);
        self.messages.push_back(message);
        self.trim();
    }

    pub(super) fn replace(&mut self, message: &Arc<Message>) {
        if let Ok(i) = self.messages.binary_search_by_key(&message.seq, |m| m.seq)
            && let Some(slot) = self.messages.get_mut(i)
        {
            self.bytes = self.bytes + weight(message) - weight(slot);
            *slot = Arc::clone(message);
            self.trim();
        }
    }

    /// Lets all messages go. Their client ids stay known.
    pub(super) fn cool(&mut self) {
        while self.cool_one() {}
        self.messages.shrink_to_fit();
        self.forget();
    }

    fn trim(&mut self) {
        while self.messages.len() > self.messages_max || (self.bytes > self.bytes_max && self.messages.len() > 1) {
            self.cool_one();
        }
        self.forget();
    }

    fn cool_one(&mut self) -> bool {
        let Some(old) = self.messages.pop_front() else {
            return false;
        };
        self.bytes -= weight(&old);
        self.after = old.seq;
        self.cooled.push_back((old.sender, old.client_id.clone()));
        true
    }

    fn forget(&mut self) {
        while self.cooled.len() > self.messages_max.saturating_mul(IDS_PER_WARM) {
            if let Some(seq) = self.cooled.pop_front().and_then(|key| self.recent.remove(&key)) {
                self.known_after = seq;
            }
        }
    }
}
