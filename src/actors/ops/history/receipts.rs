//! Who has got and who has read a message.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    actors::{
        error::Call,
        fair_share::{Share, Spent},
        ops::{Access, Node},
    },
    domain::{
        ids::{MessageId, UserId},
        message::Message,
        position::Position,
        reject::Reject,
        room::{Author, Member},
        status::{COUNTED_MAX, Place, Reached},
    },
};

/// Members walked at a time.
const AT_ONCE: usize = 512;
/// In a room with more than [`COUNTED_MAX`] members, receipts are counted anew after this time.
const TOTALS_FOR_MS: i64 = 10_000;
/// Messages whose totals are remembered; beyond, the memory is cleared.
const TOTALS_MAX: usize = 1_024;

/// How many have got and read a message.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    read: usize,
    delivered: usize,
}

/// What was counted lately of messages in large rooms.
#[derive(Debug, Default)]
pub(in crate::actors::ops) struct TotalsCache(Mutex<HashMap<MessageId, (i64, Totals)>>);

impl TotalsCache {
    fn get(&self, id: MessageId, now_ms: i64) -> Option<Totals> {
        let known = self.0.lock().get(&id).copied();
        known.filter(|(at_ms, _)| (0..TOTALS_FOR_MS).contains(&(now_ms - at_ms))).map(|(_, totals)| totals)
    }

    fn put(&self, id: MessageId, now_ms: i64, totals: Totals) {
        let mut known = self.0.lock();
        if known.len() >= TOTALS_MAX {
            known.clear();
        }
        known.insert(id, (now_ms, totals));
    }
}

/// How far a member has come with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The member.
    pub user: UserId,
    /// How far it has come with them.
    pub reached: Reached,
}

/// How far all members have come with a message.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    /// A page of the members who count for it, by id: those who were members when it was sent, without the sender.
    pub receipts: Vec<Receipt>,
    /// How many have read it.
    pub read: usize,
    /// How many have got it.
    pub delivered: usize,
    /// Whether the page is not the last.
    pub has_more: bool,
}

impl Node {
    /// Who has got and who has read a message.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn receipts(&self, author: Author, id: MessageId, after: UserId, limit: usize) -> Call<Receipts> {
        let (access, found) = self.locate(author, id).await?;
        let message = self.message_at(&access, found.seq).await?.ok_or(Reject::MessageNotFound)?;
        let mut share = self.share(author.user).await?;
        let far = Far { message: Arc::clone(&message), access: Arc::new(access) };
        let mut receipts = Receipts::default();
        let mut last = after;
        // One more than is wanted tells whether there are more; not everyone counts for the message.
        while receipts.receipts.len() <= limit {
            let wanted = (limit + 2 - receipts.receipts.len()).min(AT_ONCE);
            let (node, far) = (self.clone(), far.clone());
            let page = share.run(async move { far.page(&node, last, wanted).await }).await?;
            receipts.receipts.extend(page.receipts);
            last = page.last;
            if page.read < wanted {
                break;
            }
        }
        receipts.has_more = receipts.receipts.len() > limit;
        receipts.receipts.truncate(limit);
        let totals = self.totals_of(&far, &mut share).await?;
        (receipts.read, receipts.delivered) = (totals.read, totals.delivered);
        Ok(receipts)
    }

    /// How many have got and read a message: all members are walked, in a large room once in a while.
    async fn totals_of(&self, far: &Far, share: &mut Share) -> Call<Totals> {
        let is_large = far.access.head.members as usize > COUNTED_MAX;
        if is_large && let Some(known) = self.totals.get(far.message.id, self.now_ms()) {
            return Ok(known);
        }
        let (mut totals, mut last) = (Totals::default(), UserId(0));
        loop {
            let (node, far) = (self.clone(), far.clone());
            let page = share.run(async move { far.page(&node, last, AT_ONCE).await }).await?;
            totals.read += page.receipts.iter().filter(|receipt| receipt.reached == Reached::Read).count();
            totals.delivered += page.receipts.iter().filter(|receipt| receipt.reached >= Reached::Delivered).count();
            last = page.last;
            if page.read < AT_ONCE {
                break;
            }
        }
        if is_large {
            self.totals.put(far.message.id, self.now_ms(), totals);
        }
        Ok(totals)
    }
}

/// Whose receipts are asked for.
#[derive(Clone, Debug)]
struct Far {
    message: Arc<Message>,
    access: Arc<Access>,
}

/// Some members' receipts.
#[derive(Debug)]
struct Part {
    receipts: Vec<Receipt>,
    /// Members read, the sender too.
    read: usize,
    last: UserId,
}

impl Far {
    async fn page(&self, node: &Node, after: UserId, limit: usize) -> Call<(Part, Spent)> {
        let members = node.members_page(&self.access, after, limit).await?;
        let place = Place::of(&self.message);
        let others = members.iter().filter(|(user, member, _)| place.counts(*user, member.joined_seq));
        let receipt = |(user, _, position): &(UserId, Member, Position)| Receipt {
            user: *user,
            reached: place.reached(position),
        };
        let last = members.last().map_or(after, |(user, ..)| *user);
        let page = Part { receipts: others.map(receipt).collect(), read: members.len(), last };
        Ok((page, Spent::rows(members.len())))
    }
}
