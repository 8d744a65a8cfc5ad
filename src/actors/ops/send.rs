//! Sending, and what is done to messages.

use std::sync::Arc;

use super::{
    Access, Node, Turn,
    ask::{ATTEMPTS_MAX, pause},
};
use crate::{
    actors::{
        client_ids::InUse,
        error::{Call, CallError},
        room::{Applied, RoomHandle, SendAck, load},
        stream::{Moment, MomentBody},
    },
    domain::{
        ids::{BodyHash, ClientMessageId, MessageId, Ordinal, RoomId, Seq},
        message::{Draft, ForwardedFrom, Message},
        position::Position,
        reject::{Bounds, Reject},
        room::{Author, Command, ReadTo, Send, Speech, may_speak},
    },
    storage::{MessageRef, Outcome},
};

/// A send on its way to its room.
#[derive(Debug)]
struct Sending {
    author: Author,
    room: RoomId,
    draft: Arc<Draft>,
    client_id: ClientMessageId,
    hash: BodyHash,
    /// None: the id is in use for another room.
    id_in_use: Option<Arc<InUse>>,
}

impl Node {
    /// Sends a message. Sending again with the same client id and body gives the first answer again.
    ///
    /// # Errors
    /// [`CallError`]; when its outcome is unknown, sending again tells.
    pub async fn send(&self, author: Author, room: RoomId, draft: Draft, client_id: ClientMessageId) -> Call<SendAck> {
        self.send_in_turn(author, room, draft, client_id, Turn::default()).await
    }

    /// [`Node::send`], entering the room at its turn. If the room dies with the send in hand, the repetition enters as
    /// it comes.
    ///
    /// # Errors
    /// As there.
    pub async fn send_in_turn(
        &self,
        author: Author,
        room: RoomId,
        draft: Draft,
        client_id: ClientMessageId,
        mut turn: Turn,
    ) -> Call<SendAck> {
        draft.validate()?;
        let hash = draft.hash(room);
        // Before the look-up: what it does not find then is nowhere on its way to another room either.
        let id_in_use = self.context.client_ids.take(author.user, &client_id, room);
        let sending = Sending { author, room, draft: Arc::new(draft), client_id, hash, id_in_use };
        // Whether an attempt may have had an effect: then no later failure says that nothing happened.
        let mut in_doubt = false;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.send_once(&sending, &mut turn).await {
                // The same id makes it safe to ask again even if the room died with the send in hand.
                Err(error @ (CallError::Gone | CallError::Dropped)) if attempt < ATTEMPTS_MAX => {
                    in_doubt |= error.outcome() == Outcome::Unknown;
                    pause(attempt).await;
                }
                // The rules are asked when the room has been read again: then it is certain.
                Err(CallError::Rejected(reject)) => return Err(reject.into()),
                Err(error) if in_doubt && error.outcome() == Outcome::NotApplied => {
                    return Err(CallError::Dropped);
                }
                answer => return answer,
            }
        }
        Err(CallError::Dropped)
    }

    async fn send_once(&self, sending: &Sending, turn: &mut Turn) -> Call<SendAck> {
        let handle = match self.wake(sending.author, sending.room, false).await {
            Err(CallError::Rejected(Reject::RoomNotFound)) => return self.sent_as_member(sending).await,
            woken => woken?,
        };
        // Read before the look-up: the room's writer knows what came after it.
        let absent_until = handle.last_seq();
        let found = self.context.store.find_client_message(sending.author.user, &sending.client_id).await?;
        if let Some(found) = found {
            return self.sent_before(sending, &handle, found).await;
        }
        let id_in_use = sending.id_in_use.clone().ok_or(Reject::ClientMessageIdReused)?;
        if !sending.author.admin {
            // Before what the send refers to: who is no member is not told what there is.
            handle.read(|s| s.member(sending.author).map(drop))?;
        }
        let draft = self.check_references(sending, &handle).await?;
        let send = Send {
            author: sending.author,
            draft,
            client_id: sending.client_id.clone(),
            hash: sending.hash,
            absent_until,
        };
        turn.come().await;
        let answer = handle.send(send, id_in_use)?;
        turn.pass();
        answer.await
    }

    /// The answer to a send whose client id is in the log already.
    async fn sent_before(&self, sending: &Sending, handle: &RoomHandle, found: MessageRef) -> Call<SendAck> {
        if found.room != sending.room {
            return Err(Reject::ClientMessageIdReused.into());
        }
        let (head, epoch) = handle.read(|s| (s.head.seq, s.epoch));
        if found.seq > head {
            // Written, but not acknowledged by the room yet.
            return Err(CallError::Gone);
        }
        let access = self.access(Author { admin: true, ..sending.author }, sending.room).await?;
        let message = self.message_at(&access, found.seq).await?.ok_or(CallError::Gone)?;
        if !message.is_repeated_by(sending.hash) {
            return Err(Reject::ClientMessageIdReused.into());
        }
        Ok(SendAck { message, duplicate: true, durability: self.context.options.durability, epoch })
    }

    /// The answer to a send of somebody who is no member and does not wake the room: the one that they got when they
    /// were one, or that there is no such room.
    async fn sent_as_member(&self, sending: &Sending) -> Call<SendAck> {
        let store = &self.context.store;
        let found = store.find_client_message(sending.author.user, &sending.client_id).await?;
        let Some(seq) = found.filter(|found| found.room == sending.room).map(|found| found.seq) else {
            return Err(Reject::RoomNotFound.into());
        };
        let epoch = store.record(sending.room, seq).await?.map(|record| record.epoch).ok_or(CallError::Gone)?;
        let message = load::message(&**store, sending.room, seq).await?.ok_or(CallError::Gone)?;
        if !message.is_repeated_by(sending.hash) {
            return Err(Reject::RoomNotFound.into());
        }
        Ok(SendAck { message, duplicate: true, durability: self.context.options.durability, epoch })
    }

    /// Checks what a send refers to: facts that never change once they are true. Returns the draft as it is to be
    /// stored: it says of a forwarded message who really sent it.
    async fn check_references(&self, sending: &Sending, handle: &RoomHandle) -> Call<Arc<Draft>> {
        let mut draft = Arc::clone(&sending.draft);
        if draft.external.is_some() {
            let role = handle.read(|s| s.members.get(&sending.author.user).map(|member| member.role));
            self.context.options.referrers.may_refer(sending.author, role)?;
        }
        if draft.reply_to.0 != 0 {
            let warm = handle.read(|s| s.tail().iter().rev().find(|m| m.id == draft.reply_to).map(|m| m.seq));
            let seq = match warm {
                Some(seq) => Some(seq),
                None => {
                    let found = self.context.store.find_message(draft.reply_to).await?;
                    found.filter(|found| found.room == sending.room).map(|found| found.seq)
                }
            };
            let floor = handle.read(|s| s.floor(sending.author.user));
            if seq.is_none_or(|seq| seq <= floor && !sending.author.admin) {
                return Err(Reject::MessageNotFound.into());
            }
        }
        if let Some(from) = draft.forwarded_from {
            let (access, found) = self.locate(sending.author, from.message).await?;
            if access.room != from.room {
                return Err(Reject::MessageNotFound.into());
            }
            let original = self.message_at(&access, found.seq).await?.ok_or(Reject::MessageNotFound)?;
            if original.sender != from.sender {
                Arc::make_mut(&mut draft).forwarded_from = Some(ForwardedFrom { sender: original.sender, ..from });
            }
        }
        if let Some(external) = &draft.external
            && self.context.store.find_external(external).await?.is_some()
        {
            return Err(Reject::ExternalRefTaken.into());
        }
        Ok(draft)
    }

    /// Whether the author belongs to a room, or stands above it: who does not uses nothing of the room's up, its rate
    /// neither.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn belongs(&self, author: Author, room: RoomId) -> Call<bool> {
        if author.admin {
            return Ok(true);
        }
        match self.rooms.awake(room) {
            Some(handle) => Ok(handle.read(|s| s.members.contains_key(&author.user))),
            None => Ok(self.context.store.member(room, author.user).await?.is_some()),
        }
    }

    /// Does something to a message that the author may see.
    pub(super) async fn on_message(
        &self,
        author: Author,
        id: MessageId,
        command: impl Fn(Seq) -> Command,
    ) -> Call<Applied> {
        let (access, found) = self.locate(author, id).await?;
        Ok(self.command(author, access.room, command(found.seq)).await?.0)
    }

    /// Edits a message; returns it as it is now.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn edit(
        &self,
        author: Author,
        id: MessageId,
        content: &str,
        encrypted: bool,
        mentions: &[crate::domain::ids::UserId],
    ) -> Call<Arc<Message>> {
        let applied = self
            .on_message(author, id, |message| Command::Edit {
                message,
                content: content.to_owned(),
                encrypted,
                mentions: mentions.to_vec(),
            })
            .await?;
        applied.message.ok_or_else(|| Reject::MessageNotFound.into())
    }

    /// Deletes a message for all.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete(&self, author: Author, id: MessageId) -> Call<()> {
        match self.on_message(author, id, |message| Command::Delete { message }).await {
            Err(CallError::Rejected(Reject::MessageNotFound)) => self.withdraw(author, id).await,
            answer => answer.map(drop),
        }
    }

    /// Deletes a message of the author's own that they no longer see, for they have left, or joined again since.
    async fn withdraw(&self, author: Author, id: MessageId) -> Call<()> {
        let store = &self.context.store;
        let found = store.find_message(id).await?.ok_or(Reject::MessageNotFound)?;
        let message = load::message(&**store, found.room, found.seq).await?;
        if message.is_none_or(|message| message.sender != author.user) {
            return Err(Reject::MessageNotFound.into());
        }
        // Their words are there: that is enough to wake the room for them.
        let waker = Author { admin: true, ..author };
        let delete =
            |handle: RoomHandle| async move { handle.command(author, Command::Delete { message: found.seq }).await };
        match self.with_room(waker, found.room, false, delete).await {
            Err(CallError::Rejected(Reject::RoomNotFound)) => Err(Reject::MessageNotFound.into()),
            answer => answer.map(drop),
        }
    }

    /// Gives or takes back a reaction; returns the message as it is now.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn react(&self, author: Author, id: MessageId, reaction: &str, remove: bool) -> Call<Arc<Message>> {
        let react = |message| Command::React { message, reaction: reaction.to_owned(), remove };
        let applied = self.on_message(author, id, react).await?;
        applied.message.ok_or_else(|| Reject::MessageNotFound.into())
    }

    /// Moves the author's read (or delivered) position to an event; `None` is the newest. Returns the position and how
    /// many messages are unread.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn mark(
        &self,
        author: Author,
        room: RoomId,
        to: Option<Seq>,
        delivered_only: bool,
    ) -> Call<(Position, u64)> {
        let mut access = self.access(author, room).await?;
        let to = match to {
            None => ReadTo::Head,
            Some(seq) => ReadTo::At { seq, n: self.ordinal_at(&access, seq).await? },
        };
        let position = self
            .with_room(author, room, false, |handle| async move { handle.mark(author, to, delivered_only).await })
            .await?;
        if let Some(handle) = self.rooms.awake(room) {
            (access.head, access.uncounted) = handle.read(|s| (s.head, Arc::clone(&s.uncounted)));
        }
        let unread = self.unread_of(author.user, &access, position).await?;
        Ok((position, unread.count()))
    }

    /// Where a message that the author reads up to is; it must be in the room.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn seq_of(&self, author: Author, room: RoomId, id: MessageId) -> Call<Seq> {
        let (access, found) = self.locate(author, id).await?;
        if access.room == room { Ok(found.seq) } else { Err(Reject::MessageNotFound.into()) }
    }

    /// Ordinal of the newest message at or before `seq`.
    async fn ordinal_at(&self, access: &Access, seq: Seq) -> Call<Ordinal> {
        if seq == access.head.seq {
            return Ok(access.head.n);
        }
        if seq > access.head.seq {
            return Err(Reject::out_of("up_to_seq", Bounds::Between(0, access.head.seq.0.cast_signed())).into());
        }
        Ok(self.context.store.record(access.room, seq).await?.map_or(Ordinal(0), |record| record.n))
    }

    /// Tells a room that the author is typing, or stopped.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn typing(&self, author: Author, room: RoomId, typing: bool) -> Call<()> {
        let access = self.access(author, room).await?;
        let member = access.member.as_ref().ok_or(Reject::RoomNotFound)?;
        may_speak(author, &access.info, Some(member), self.is_blocked(author, &access).await?, Speech::Words)?;
        self.context.ephemera.set_typing(room, author.user, typing).await;
        let moment = Moment::new(Some(room), author.user, self.now_ms(), MomentBody::Typing(typing));
        self.context.hubs.get(room).tell_moment(&Arc::new(moment), None, Some(author.user));
        Ok(())
    }
}
