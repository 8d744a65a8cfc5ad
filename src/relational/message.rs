//! One message: what it becomes, with its edit, its deletion and its reactions, and the ids it is known by.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Result, room::Bring, row::SourceMessage, writer::one};
use crate::domain::{
    event::{EventBody, Target},
    ids::{ClientMessageId, ExternalRef, MessageId, UserId},
    limits,
    message::{Draft, Message, MessageType},
    room::Change,
    snowflake::EPOCH_MS,
};

/// The name that messages are known by in [`ExternalRef::source`].
const SOURCE: &str = "room_message";
/// Longest text that is brought.
const CONTENT_MAX: usize = 1 << 20;
/// Bits of a message id below the time.
const ID_BITS: u32 = 22;

impl Bring<'_> {
    pub(super) fn external(&self, id: &str) -> ExternalRef {
        ExternalRef { source: SOURCE.to_owned(), chat: self.room.id.to_string(), message: id.to_owned() }
    }

    /// The message with this id of the source, if it was brought.
    pub(super) async fn find(&self, id: &str) -> Result<Option<MessageId>> {
        if let Some(found) = self.ids.get(id) {
            return Ok(Some(*found));
        }
        if !self.looks || id.is_empty() || id.len() > limits::EXTERNAL_ID_BYTES_MAX {
            return Ok(None);
        }
        Ok(self.work.to.find_external(&self.external(id)).await?.map(|found| found.id))
    }

    pub(super) async fn message(
        &mut self,
        source: SourceMessage,
        reacted: Vec<(UserId, String, Option<i64>)>,
    ) -> Result<()> {
        if let Some(found) = self.find(&source.id).await? {
            self.ids.insert(source.id, found);
            self.done.messages_before += 1;
            return Ok(());
        }
        let example = format!("{} message {}", self.room.id, source.id);
        if source.content.len() > CONTENT_MAX {
            self.work.odd.add("room_message.content: longer than 1 MiB; the message is not brought", example);
            return Ok(());
        }
        let at_ms = self.time(source.at_ms, &example);
        let is_system = source.is_system || source.sender.0 < 1;
        if is_system && !source.is_system {
            self.work.odd.add("room_message.sender_id: nobody; brought as a system message", &example);
        }
        let sender = if is_system { UserId::SERVER } else { source.sender };
        self.come_and_go(at_ms, sender).await?;
        let message = Arc::new(self.built(&source, sender, at_ms, &example).await?);
        let target = Target { id: message.id, seq: message.seq };
        let mut event = self.writer.event(sender, at_ms, EventBody::Message(Arc::clone(&message)));
        event.n = message.n;
        self.writer.write(one(event));
        self.ids.insert(source.id.clone(), message.id);
        self.done.messages += 1;
        self.work.progress.add_events(1);
        self.work.progress.add_messages(1);
        if source.deleted {
            let at_ms = source.deleted_ms.unwrap_or(at_ms).min(self.work.now_ms);
            let event = self.writer.event(sender, at_ms, EventBody::Deleted(target));
            let (touched, redacted) = (Some(Arc::new(message.erased())), vec![message.seq]);
            let change = Change { events: vec![event], touched, redacted, ..Change::default() };
            self.writer.write(change);
            return Ok(());
        }
        let mut now = Message::clone(&message);
        if let Some(edited_ms) = source.edited_ms {
            now.edited_at_ms = edited_ms.clamp(at_ms, self.work.now_ms.max(at_ms));
            now.edits.push(self.writer.state.head.seq.next());
            let (at_ms, edited) = (now.edited_at_ms, Arc::new(now.clone()));
            let event = self.writer.event(sender, at_ms, EventBody::Edited(Arc::clone(&edited)));
            let change = Change { events: vec![event], touched: Some(edited), ..Change::default() };
            self.writer.write(change);
        }
        self.reactions(now, reacted, at_ms, &example);
        Ok(())
    }

    fn reactions(&mut self, mut now: Message, reacted: Vec<(UserId, String, Option<i64>)>, at_ms: i64, example: &str) {
        let mut given = std::collections::HashSet::new();
        for (user, reaction, reacted_ms) in reacted {
            let fits = user.0 > 0 && (1..=limits::REACTION_BYTES_MAX).contains(&reaction.len());
            let is_new = !now.reactions.iter().any(|(name, _)| *name == reaction);
            if !fits || (is_new && now.reactions.len() >= limits::REACTIONS_MAX) {
                let rule = "room_message_reaction: of nobody, empty, longer than 64 bytes or more than 50; not brought";
                self.work.odd.add(rule, example);
                continue;
            }
            if !given.insert((user, reaction.clone())) {
                self.work.odd.add("room_message_reaction: the same twice; brought once", example);
                continue;
            }
            match now.reactions.iter_mut().find(|(name, _)| *name == reaction) {
                Some((_, count)) => *count += 1,
                None => now.reactions.push((reaction.clone(), 1)),
            }
            let at_ms = reacted_ms.unwrap_or(at_ms).min(self.work.now_ms);
            let target = Target { id: now.id, seq: now.seq };
            let event = self.writer.event(user, at_ms, EventBody::Reacted { target, reaction, removed: false });
            let touched = Some(Arc::new(now.clone()));
            self.writer.write(Change { events: vec![event], touched, ..Change::default() });
            self.done.reactions += 1;
        }
    }

    /// The message's time; one that is missing or lies ahead is replaced.
    pub(super) fn time(&self, at_ms: Option<i64>, example: &str) -> i64 {
        match at_ms {
            None => {
                self.work.odd.add("room_message.created_at: none; the room's beginning", example);
                self.members.began_ms
            }
            Some(at_ms) if at_ms > self.work.now_ms => {
                self.work.odd.add("room_message.created_at: lies ahead; the time of the import", example);
                self.work.now_ms
            }
            Some(at_ms) => at_ms,
        }
    }

    async fn built(&self, source: &SourceMessage, sender: UserId, at_ms: i64, example: &str) -> Result<Message> {
        let head = self.writer.state.head;
        let reply_to = self.reply_to(source, example).await?;
        let mut draft = Draft {
            content: source.content.clone(),
            encrypted: self.is_encrypted(&source.content, example),
            reply_to,
            external: Some(self.external(&source.id)),
            message_type: if sender == UserId::SERVER { MessageType::System } else { MessageType::User },
            ..Draft::default()
        };
        let unknown = source.reply_to.as_ref().filter(|_| reply_to == MessageId(0));
        let rest = source.rest.iter().cloned().chain(unknown.map(|id| ("reply_to".to_owned(), id.clone())));
        for (column, value) in rest {
            let key = format!("room_message.{column}");
            let has_room = draft.metadata.len() < limits::METADATA_ENTRIES_MAX;
            if has_room
                && key.len() <= limits::METADATA_KEY_BYTES_MAX
                && value.len() <= limits::METADATA_VALUE_BYTES_MAX
            {
                self.work.odd.add(format!("{key}: no place of its own; kept in the message's metadata"), example);
                draft.metadata.insert(key, value);
            } else {
                self.work.odd.add(format!("{key}: too large for the message's metadata; not brought"), example);
            }
        }
        if source.content.is_empty() && !source.deleted {
            self.work.odd.add("room_message.content: empty; brought as it is", example);
        }
        if source.content.len() > limits::CONTENT_BYTES_MAX {
            self.work.odd.add("room_message.content: longer than clients may send; brought whole", example);
        }
        if source.deleted {
            (draft.content, draft.encrypted, draft.metadata) = (String::new(), false, Default::default());
        }
        Ok(Message {
            id: self.fresh_id(&source.id, at_ms, head.message_id).await?,
            room: self.room.id,
            seq: head.seq.next(),
            n: head.n.next(),
            sender,
            at_ms,
            client_id: self.client_id(source, sender, example).await?,
            hash: draft.hash(self.room.id),
            draft: Arc::new(draft),
            edited_at_ms: 0,
            edits: Vec::new(),
            deleted: false,
            reactions: Vec::new(),
            pinned: false,
            wire: Default::default(),
        })
    }

    async fn reply_to(&self, source: &SourceMessage, example: &str) -> Result<MessageId> {
        let Some(id) = &source.reply_to else { return Ok(MessageId(0)) };
        let found = self.find(id).await?;
        if found.is_none() {
            self.work.odd.add("room_message: answers a message that is not in the room before it; no reply", example);
        }
        Ok(found.unwrap_or(MessageId(0)))
    }

    /// Whether the content is what a client encrypted. Where no key opens the room's, its form has to tell.
    fn is_encrypted(&self, content: &str, example: &str) -> bool {
        let Some(data) = self.room.encryption_data.as_ref().filter(|_| !content.is_empty()) else { return false };
        if !self.work.keys.opens(data) {
            let in_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            return content.len() >= 24 && content.len().is_multiple_of(4) && content.bytes().all(in_base64);
        }
        let decrypts = self.work.keys.decrypts(data, content);
        if !decrypts {
            self.work
                .odd
                .add("room_message.content: does not decrypt with the room's key; brought as plain text", example);
        }
        decrypts
    }

    /// The sender's own id, if it is the sender's alone; otherwise one made of the source's.
    async fn client_id(&self, source: &SourceMessage, sender: UserId, example: &str) -> Result<ClientMessageId> {
        let made = ClientMessageId(format!("{SOURCE}:{}", source.id).into());
        let Some(id) = source.client_id.as_ref().filter(|id| id.len() <= limits::CLIENT_ID_BYTES_MAX) else {
            return Ok(made);
        };
        let id = ClientMessageId(id.as_str().into());
        let gathered = self.writer.sent(sender, &id);
        if gathered || self.work.to.find_client_message(sender, &id).await?.is_some() {
            self.work.odd.add("room_message.sender_message_id: used twice by one sender; another one is made", example);
            return Ok(made);
        }
        Ok(id)
    }

    /// An id that tells the time, follows the room's last one, and that no message has. What is older than ids can tell
    /// shares the first minutes of their time, in order.
    async fn fresh_id(&self, source: &str, at_ms: i64, last: MessageId) -> Result<MessageId> {
        let ms = if at_ms >= EPOCH_MS {
            at_ms - EPOCH_MS
        } else {
            i64::try_from((i128::from(at_ms.max(0)) << 20) / i128::from(EPOCH_MS)).unwrap_or_default()
        };
        let low = xxh3_64(source.as_bytes()) & ((1 << ID_BITS) - 1);
        let mut id = ((ms << ID_BITS) | low.cast_signed()).max(last.0 + 1);
        while self.work.to.find_message(MessageId(id)).await?.is_some() {
            id += 1;
        }
        Ok(MessageId(id))
    }
}
