//! A message: what a sender says, and what it has become.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    ids::{BodyHash, ClientMessageId, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    limits,
    reject::{Bounds, Flaw, Reject, count, text},
};

/// Who wrote a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum MessageType {
    /// A person.
    #[default]
    User = 1,
    /// The server or a sibling service.
    System = 2,
}

/// Where a message was forwarded from, as the forwarder states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForwardedFrom {
    /// The room.
    pub room: RoomId,
    /// The message.
    pub message: MessageId,
    /// Its sender.
    pub sender: UserId,
}

/// A reference to a file stored elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attachment {
    /// Absolute URL.
    pub url: String,
    /// Media type.
    pub mime: String,
    /// Bytes, 0 if unknown.
    pub size: i64,
    /// File name.
    pub name: String,
    /// Pixels, 0 if none.
    pub width: i32,
    /// Pixels, 0 if none.
    pub height: i32,
}

/// What a sender says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// Text or ciphertext.
    pub content: String,
    /// Whether `content` is ciphertext made by the client.
    pub encrypted: bool,
    /// The message answered; 0 for none.
    pub reply_to: MessageId,
    /// Members mentioned.
    pub mentions: Vec<UserId>,
    /// Origin of a forwarded message.
    pub forwarded_from: Option<ForwardedFrom>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// The product's own data.
    pub metadata: BTreeMap<String, String>,
    /// Twin in another system.
    pub external: Option<ExternalRef>,
    /// Who wrote it.
    pub message_type: MessageType,
    /// When it was written elsewhere, milliseconds since the Unix epoch; 0 = here and now.
    pub original_at_ms: i64,
    /// Name of the sender at the time; not part of the hash.
    pub sender_name: String,
}

impl Draft {
    /// Checks every bound that needs no room.
    ///
    /// # Errors
    /// [`Reject::Invalid`] naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), Reject> {
        if self.content.is_empty() && self.attachments.is_empty() {
            return Err(Reject::invalid("content", Flaw::Missing));
        }
        text("content", &self.content, 0, limits::CONTENT_BYTES_MAX)?;
        count("mentions", self.mentions.len(), limits::MENTIONS_MAX)?;
        if self.reply_to.0 < 0 {
            return Err(Reject::out_of("reply_to", Bounds::From(0)));
        }
        count("attachments", self.attachments.len(), limits::ATTACHMENTS_MAX)?;
        for file in &self.attachments {
            text("attachments.url", &file.url, 1, limits::URL_BYTES_MAX)?;
            text("attachments.mime", &file.mime, 0, limits::ATTACHMENT_NAME_BYTES_MAX)?;
            text("attachments.name", &file.name, 0, limits::ATTACHMENT_NAME_BYTES_MAX)?;
            if file.size < 0 || file.width < 0 || file.height < 0 {
                return Err(Reject::out_of("attachments", Bounds::From(0)));
            }
        }
        count("metadata", self.metadata.len(), limits::METADATA_ENTRIES_MAX)?;
        for (key, value) in &self.metadata {
            text("metadata", key, 1, limits::METADATA_KEY_BYTES_MAX)?;
            text("metadata", value, 0, limits::METADATA_VALUE_BYTES_MAX)?;
        }
        if let Some(external) = &self.external {
            text("external_ref.source", &external.source, 1, limits::SOURCE_BYTES_MAX)?;
            text("external_ref.chat", &external.chat, 1, limits::EXTERNAL_ID_BYTES_MAX)?;
            text("external_ref.message", &external.message, 1, limits::EXTERNAL_ID_BYTES_MAX)?;
        }
        Ok(())
    }

    /// What tells a retry from another message: everything the sender says, and the room.
    #[must_use]
    pub fn hash(&self, room: RoomId) -> BodyHash {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(&room.0);
        part(self.content.as_bytes());
        part(&[u8::from(self.encrypted), self.message_type as u8]);
        part(&self.reply_to.0.to_be_bytes());
        part(&self.original_at_ms.to_be_bytes());
        part(&(self.mentions.len() as u64).to_be_bytes());
        for user in &self.mentions {
            part(&user.0.to_be_bytes());
        }
        if let Some(from) = &self.forwarded_from {
            part(&from.room.0);
            part(&from.message.0.to_be_bytes());
            part(&from.sender.0.to_be_bytes());
        }
        part(&(self.attachments.len() as u64).to_be_bytes());
        for file in &self.attachments {
            part(file.url.as_bytes());
            part(file.mime.as_bytes());
            part(file.name.as_bytes());
            part(&file.size.to_be_bytes());
            part(&file.width.to_be_bytes());
            part(&file.height.to_be_bytes());
        }
        part(&(self.metadata.len() as u64).to_be_bytes());
        for (key, value) in &self.metadata {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        if let Some(external) = &self.external {
            part(external.source.as_bytes());
            part(external.chat.as_bytes());
            part(external.message.as_bytes());
        }
        let digest = hasher.finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        BodyHash(hash)
    }
}

/// A message in its present state. What the sender said is shared between states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// Its place in the log.
    pub seq: Seq,
    /// Its ordinal.
    pub n: Ordinal,
    /// Who sent it.
    pub sender: UserId,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The sender's own id of it.
    pub client_id: ClientMessageId,
    /// Hash of what was sent first; of a deleted message nothing is left of it. It never stands beside a sealed text:
    /// whoever reads the store could try texts against it.
    pub hash: BodyHash,
    /// What it says now; empty once deleted.
    pub draft: Arc<Draft>,
    /// When it was last edited; 0 if never.
    pub edited_at_ms: i64,
    /// Places of its edits in the log, at most [`limits::EDITS_MAX`].
    pub edits: Vec<Seq>,
    /// Whether it was deleted for all.
    pub deleted: bool,
    /// Reactions and how many gave each, in order of first use.
    pub reactions: Vec<(String, u32)>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Its bytes on the wire, once somebody made them.
    pub wire: Wire,
}

/// A place for the bytes a value has on the wire, so that they are made once however many read it. Not part of the
/// value: a copy starts empty, and all are equal.
#[derive(Default, Debug)]
pub struct Wire(pub OnceLock<Bytes>);

impl Clone for Wire {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Wire {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Wire {}

impl Message {
    /// The same message with nothing left of what it said.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self {
            draft: Arc::new(Draft { message_type: self.draft.message_type, ..Draft::default() }),
            hash: BodyHash::default(),
            deleted: true,
            reactions: Vec::new(),
            pinned: false,
            edits: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether a send under its client id, with a draft of this hash, is the same send again. What a deleted message said
    /// is not known any more: then the client id alone decides.
    #[must_use]
    pub fn is_repeated_by(&self, hash: BodyHash) -> bool {
        self.deleted || self.hash == hash
    }

    /// Whether its state is still what it was when sent.
    #[must_use]
    pub fn is_pristine(&self) -> bool {
        self.edited_at_ms == 0 && !self.deleted && self.reactions.is_empty() && !self.pinned
    }
}
