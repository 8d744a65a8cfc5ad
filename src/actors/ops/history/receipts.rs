//! Who has got and who has read a message.

use crate::{
    actors::{
        error::Call,
        ops::{Access, Node},
    },
    domain::{
        ids::{MessageId, Seq, UserId},
        position::Position,
        reject::Reject,
        room::Author,
    },
};

/// Members beyond which a message's status is not worked out of all their positions.
const STATUS_MEMBERS_MAX: usize = 5_000;

/// How far a member has come with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The member.
    pub user: UserId,
    /// Whether it was delivered to them.
    pub delivered: bool,
    /// Whether they have read it.
    pub read: bool,
}

/// How far all members have come with a message.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    /// A page of members, by id, without the sender.
    pub receipts: Vec<Receipt>,
    /// How many have read it.
    pub read: usize,
    /// How many have got it.
    pub delivered: usize,
    /// Whether the page is not the last.
    pub has_more: bool,
}

impl Node {
    /// Up to where everyone but `reader` has got, and has read, messages.
    pub(in crate::actors::ops) async fn reached_by_all(&self, access: &Access, reader: UserId) -> Call<(Seq, Seq)> {
        if access.head.members as usize > STATUS_MEMBERS_MAX {
            return Ok((Seq(0), Seq(0)));
        }
        let least = |positions: &mut dyn Iterator<Item = Position>| {
            let both = positions.map(|p| (p.delivered_seq.max(p.read_seq), p.read_seq));
            both.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap_or_default()
        };
        if let Some(handle) = &access.awake {
            return Ok(handle.read(|s| {
                let mut others = s.members.keys().filter(|user| **user != reader).map(|user| s.position(*user));
                least(&mut others)
            }));
        }
        let members = self.members_page(access, UserId(0), STATUS_MEMBERS_MAX).await?;
        Ok(least(&mut members.into_iter().filter(|(user, ..)| *user != reader).map(|(_, _, position)| position)))
    }

    /// Who has got and who has read a message.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn receipts(&self, author: Author, id: MessageId, after: UserId, limit: usize) -> Call<Receipts> {
        let (access, found) = self.locate(author, id).await?;
        let message = self.message_at(&access, found.seq).await?.ok_or(Reject::MessageNotFound)?;
        let mut receipts = Receipts::default();
        let mut last = UserId(0);
        loop {
            let members = self.members_page(&access, last, 1_000).await?;
            for (user, _, position) in members.iter().filter(|(user, ..)| *user != message.sender) {
                let read = position.read_seq >= message.seq || position.sent_n >= message.n;
                let delivered = read || position.delivered_seq >= message.seq;
                receipts.read += usize::from(read);
                receipts.delivered += usize::from(delivered);
                if *user > after {
                    receipts.has_more = receipts.receipts.len() == limit;
                    if !receipts.has_more {
                        receipts.receipts.push(Receipt { user: *user, delivered, read });
                    }
                }
            }
            match members.last() {
                Some((user, ..)) if members.len() == 1_000 => last = *user,
                _ => return Ok(receipts),
            }
        }
    }
}
