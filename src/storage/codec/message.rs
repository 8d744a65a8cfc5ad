//! Messages: as sent, and in their present state.

use std::sync::Arc;

use bytes::Bytes;

use super::{bytes_of, corrupt, parse, stored};
use crate::{
    domain::{
        ids::{BodyHash, ClientMessageId, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
        message::{Attachment, Draft, ForwardedFrom, Message, MessageType},
    },
    storage::{Record, Result},
};

fn draft_out(draft: &Draft, deleted: bool) -> stored::Draft {
    stored::Draft {
        content: draft.content.clone(),
        encrypted: draft.encrypted,
        reply_to: draft.reply_to.0,
        mentions: draft.mentions.iter().map(|u| u.0).collect(),
        forwarded: draft.forwarded_from.map(|f| stored::Forwarded {
            room: f.room.0.to_vec(),
            message: f.message.0,
            sender: f.sender.0,
        }),
        attachments: draft.attachments.iter().map(attachment_out).collect(),
        metadata: draft.metadata.clone(),
        message_type: draft.message_type as u32,
        original_at_ms: draft.original_at_ms,
        sender_name: draft.sender_name.clone(),
        external: draft
            .external
            .as_ref()
            .map(|e| vec![e.source.clone(), e.chat.clone(), e.message.clone()])
            .unwrap_or_default(),
        deleted,
        hash: Vec::new(),
    }
}

/// A hash as it is stored: nothing, if there is none.
fn hash_out(hash: BodyHash) -> Vec<u8> {
    if hash == BodyHash::default() { Vec::new() } else { hash.0.to_vec() }
}

fn hash_in(stored: Vec<u8>) -> Result<Option<BodyHash>> {
    if stored.is_empty() {
        return Ok(None);
    }
    stored.try_into().map(|hash| Some(BodyHash(hash))).map_err(|_| corrupt("body hash"))
}

fn attachment_out(file: &Attachment) -> stored::Attachment {
    stored::Attachment {
        url: file.url.clone(),
        mime: file.mime.clone(),
        size: file.size,
        name: file.name.clone(),
        width: file.width,
        height: file.height,
    }
}

fn draft_in(stored: stored::Draft) -> Result<Draft> {
    let forwarded_from = match stored.forwarded {
        Some(f) => Some(ForwardedFrom {
            room: RoomId(f.room.try_into().map_err(|_| corrupt("forwarded room id"))?),
            message: MessageId(f.message),
            sender: UserId(f.sender),
        }),
        None => None,
    };
    let external = match <[String; 3]>::try_from(stored.external) {
        Ok([source, chat, message]) => Some(ExternalRef { source, chat, message }),
        Err(parts) if parts.is_empty() => None,
        Err(_) => return Err(corrupt("external reference")),
    };
    Ok(Draft {
        content: stored.content,
        encrypted: stored.encrypted,
        reply_to: MessageId(stored.reply_to),
        mentions: stored.mentions.into_iter().map(UserId).collect(),
        forwarded_from,
        attachments: stored
            .attachments
            .into_iter()
            .map(|f| Attachment {
                url: f.url,
                mime: f.mime,
                size: f.size,
                name: f.name,
                width: f.width,
                height: f.height,
            })
            .collect(),
        metadata: stored.metadata,
        external,
        message_type: if stored.message_type == MessageType::System as u32 {
            MessageType::System
        } else {
            MessageType::User
        },
        original_at_ms: stored.original_at_ms,
        sender_name: stored.sender_name,
    })
}

pub(super) fn state_out(message: &Message) -> stored::State {
    stored::State {
        id: message.id.0,
        seq: message.seq.0,
        n: message.n.0,
        sender: message.sender.0,
        at_ms: message.at_ms,
        client_id: message.client_id.0.to_string(),
        hash: hash_out(message.hash),
        draft: Some(draft_out(&message.draft, message.deleted)),
        edited_at_ms: message.edited_at_ms,
        edits: message.edits.iter().map(|s| s.0).collect(),
        reactions: message
            .reactions
            .iter()
            .map(|(reaction, count)| stored::Reaction { reaction: reaction.clone(), count: *count })
            .collect(),
        pinned: message.pinned,
    }
}

pub(super) fn state_in(room: RoomId, stored: stored::State) -> Result<Message> {
    let draft = stored.draft.ok_or_else(|| corrupt("message state without draft"))?;
    let deleted = draft.deleted;
    Ok(Message {
        id: MessageId(stored.id),
        room,
        seq: Seq(stored.seq),
        n: Ordinal(stored.n),
        sender: UserId(stored.sender),
        at_ms: stored.at_ms,
        client_id: ClientMessageId(stored.client_id.into()),
        // Older programs left it there.
        hash: hash_in(stored.hash)?.filter(|_| !deleted).unwrap_or_default(),
        draft: Arc::new(draft_in(draft)?),
        edited_at_ms: stored.edited_at_ms,
        edits: stored.edits.into_iter().map(Seq).collect(),
        deleted,
        reactions: stored.reactions.into_iter().map(|r| (r.reaction, r.count)).collect(),
        pinned: stored.pinned,
        wire: Default::default(),
    })
}

/// The state of a message that changed since it was sent.
#[must_use]
pub fn encode_state(message: &Message) -> Bytes {
    bytes_of(&state_out(message))
}

/// Reads [`encode_state`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_state(room: RoomId, bytes: &[u8]) -> Result<Message> {
    state_in(room, parse(bytes)?)
}

/// The body of a message's log row.
#[must_use]
pub fn message_body(message: &Message) -> Bytes {
    bytes_of(&stored::Draft { hash: hash_out(message.hash), ..draft_out(&message.draft, message.deleted) })
}

/// Reads a message's log row, in the state it was sent in.
///
/// # Errors
/// `Corrupt`.
pub fn decode_message(room: RoomId, record: &Record) -> Result<Message> {
    let key = record.message.as_ref().ok_or_else(|| corrupt("message row without keys"))?;
    let mut stored: stored::Draft = parse(&record.body)?;
    let deleted = stored.deleted;
    let hash = hash_in(std::mem::take(&mut stored.hash))?;
    let draft = draft_in(stored)?;
    let hash = match hash {
        Some(hash) => hash,
        None if deleted => BodyHash::default(),
        // An older program's: it kept the hash beside the body, where nobody believes it any more.
        None => draft.hash(room),
    };
    Ok(Message {
        id: key.id,
        room,
        seq: record.seq,
        n: record.n,
        sender: record.actor,
        at_ms: record.at_ms,
        client_id: key.client_id.clone(),
        hash,
        draft: Arc::new(draft),
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted,
        reactions: Vec::new(),
        pinned: false,
        wire: Default::default(),
    })
}
