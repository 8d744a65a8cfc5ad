//! Where each row is: one keyspace, one tag byte a table, then the parts of the key in an order that makes every page of
//! the contract one range. Numbers are big-endian (user ids with the sign bit turned), texts stand last or behind their
//! length, so that byte order is the contract's order.
//!
//! | tag | table | key after the tag | value ([`super::rows`]) |
//! |---|---|---|---|
//! | 01 | meta | name | number |
//! | 10 | control | room | claimed epoch, head |
//! | 11 | journal | room | nothing |
//! | 12 | log | room, seq | record |
//! | 13 | state | room, seq | opaque |
//! | 14 | reaction | room, seq, user, reaction | nothing |
//! | 15 | pin | room, seq | seq of the pin event |
//! | 20 | message id | id | message reference |
//! | 21 | client message id | sender, client id | message reference |
//! | 22 | external reference | source, chat, message (each behind its length) | message reference |
//! | 30 | room | room | opaque settings |
//! | 31 | member | room, user | opaque |
//! | 32 | position | room, user | position |
//! | 33 | p2p room | smaller user, greater user | room |
//! | 34 | sync state | room, source | opaque |
//! | 35 | join job | room | opaque |
//! | 40 | room list | user, room | listing and preferences |
//! | 41 | hidden message | user, room, seq | nothing |
//! | 42 | profile | user | opaque |
//! | 43 | block | by, whom | nothing |
//! | 44 | device | user, client id | token hash, opaque |
//! | 45 | device token | token hash | user, client id |
//! | 50 | cursor | room, consumer | seq |
//!
//! A tag is never used again for something else; `ff` stays free, so that every prefix has an end.

use fjall::Slice;
use smallvec::SmallVec;

use super::{
    bin::Reader,
    fault::{Fault, Outcome},
};
use crate::domain::ids::{ClientMessageId, ExternalRef, MessageId, RoomId, Seq, UserId};

/// The tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the table in the module's documentation says what each is")]
pub enum Table {
    Meta = 0x01,
    Control = 0x10,
    Journal = 0x11,
    Log = 0x12,
    State = 0x13,
    Reaction = 0x14,
    Pin = 0x15,
    Message = 0x20,
    ClientMessage = 0x21,
    External = 0x22,
    Room = 0x30,
    Member = 0x31,
    Position = 0x32,
    P2p = 0x33,
    Sync = 0x34,
    JoinJob = 0x35,
    RoomList = 0x40,
    Hidden = 0x41,
    Profile = 0x42,
    Block = 0x43,
    Device = 0x44,
    Token = 0x45,
    Cursor = 0x50,
}

/// A key, or the beginning of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key(SmallVec<[u8; 48]>);

impl Key {
    /// The beginning of all keys of `table`.
    pub fn of(table: Table) -> Self {
        let mut bytes = SmallVec::new();
        bytes.push(table as u8);
        Self(bytes)
    }

    /// Adds a room.
    pub fn room(self, room: RoomId) -> Self {
        self.bytes(&room.0)
    }

    /// Adds a user, so that byte order is number order for negative numbers too.
    pub fn user(self, user: UserId) -> Self {
        self.bytes(&(user.0.cast_unsigned() ^ (1 << 63)).to_be_bytes())
    }

    /// Adds a place in a log.
    pub fn seq(self, seq: Seq) -> Self {
        self.bytes(&seq.0.to_be_bytes())
    }

    /// Adds bytes as they are: of fixed length, or last.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a text that something may follow; at most 255 bytes.
    fn short(self, text: &str) -> Self {
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        debug_assert!(usize::from(len) == text.len(), "texts in keys are checked before they come here");
        self.bytes(&[len]).bytes(text.as_bytes())
    }

    /// The smallest key greater than this one.
    pub fn after(self) -> Self {
        self.bytes(&[0])
    }

    /// The smallest key greater than all that begin with this one.
    pub fn end(mut self) -> Self {
        while let Some(last) = self.0.pop() {
            if let Some(next) = last.checked_add(1) {
                self.0.push(next);
                break;
            }
        }
        debug_assert!(!self.0.is_empty(), "tag ff is free");
        self
    }

    /// For the engine.
    pub fn slice(&self) -> Slice {
        Slice::from(&self.0[..])
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Place of a room's epoch and head.
pub fn control(room: RoomId) -> Key {
    Key::of(Table::Control).room(room)
}

/// Place of a room in the journal of active rooms.
pub fn journal(room: RoomId) -> Key {
    Key::of(Table::Journal).room(room)
}

/// Place of an event.
pub fn log(room: RoomId, seq: Seq) -> Key {
    Key::of(Table::Log).room(room).seq(seq)
}

/// Place of a message's reference by its id. Ids are not negative.
pub fn message(id: MessageId) -> Key {
    Key::of(Table::Message).bytes(&id.0.to_be_bytes())
}

/// Place of a message's reference by its sender's id of it.
pub fn client_message(sender: UserId, client_id: &ClientMessageId) -> Key {
    Key::of(Table::ClientMessage).user(sender).bytes(client_id.0.as_bytes())
}

/// Place of a message's reference by its twin elsewhere.
pub fn external(external: &ExternalRef) -> Key {
    Key::of(Table::External).short(&external.source).short(&external.chat).short(&external.message)
}

/// Place of a reaction.
pub fn reaction(room: RoomId, seq: Seq, user: UserId, reaction: &str) -> Key {
    Key::of(Table::Reaction).room(room).seq(seq).user(user).bytes(reaction.as_bytes())
}

/// Place of something that a user has or is in a room.
pub fn of_member(table: Table, room: RoomId, user: UserId) -> Key {
    Key::of(table).room(room).user(user)
}

/// Place of a room in a user's list.
pub fn room_list(user: UserId, room: RoomId) -> Key {
    Key::of(Table::RoomList).user(user).room(room)
}

/// Place of a pair's p2p room; the pair has no order.
pub fn p2p(a: UserId, b: UserId) -> Key {
    Key::of(Table::P2p).user(a.min(b)).user(a.max(b))
}

/// Place of a user's device.
pub fn device(user: UserId, client_id: &str) -> Key {
    Key::of(Table::Device).user(user).bytes(client_id.as_bytes())
}

/// Place of the owner of a device token.
pub fn token(hash: &[u8; 32]) -> Key {
    Key::of(Table::Token).bytes(hash)
}

/// Takes a key of `table` apart.
pub fn parse<'a>(key: &'a [u8], table: Table, what: &'static str) -> Outcome<KeyReader<'a>> {
    let mut reader = Reader::new(key, what);
    if reader.u8()? == table as u8 { Ok(KeyReader(reader)) } else { Err(Fault::corrupt(what)) }
}

/// Takes the parts off a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyReader<'a>(Reader<'a>);

impl<'a> KeyReader<'a> {
    /// A room.
    pub fn room(&mut self) -> Outcome<RoomId> {
        self.0.array().map(RoomId)
    }

    /// A user.
    pub fn user(&mut self) -> Outcome<UserId> {
        self.0.u64().map(|bits| UserId((bits ^ (1 << 63)).cast_signed()))
    }

    /// A place in a log.
    pub fn seq(&mut self) -> Outcome<Seq> {
        self.0.u64().map(Seq)
    }

    /// The text at the end.
    pub fn text(self) -> Outcome<&'a str> {
        self.0.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_sort_by_number() {
        let ids = [i64::MIN, -5, -1, 0, 1, 2, 255, 256, i64::MAX];
        let keys: Vec<_> = ids.iter().map(|id| Key::of(Table::Profile).user(UserId(*id)).slice()).collect();
        assert!(keys.is_sorted());
        for (id, key) in ids.iter().zip(&keys) {
            assert_eq!(parse(key, Table::Profile, "test").unwrap().user().unwrap(), UserId(*id));
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_past_all_its_keys() {
        let prefix = Key::of(Table::Log).room(RoomId([0xff; 16]));
        let last = log(RoomId([0xff; 16]), Seq(u64::MAX)).after();
        assert!(last.as_ref() < prefix.clone().end().as_ref());
        assert_eq!(prefix.end().as_ref(), [Table::State as u8]);
        assert_eq!(Key::of(Table::Log).bytes(&[1, 2]).end().as_ref(), [Table::Log as u8, 1, 3]);
    }

    #[test]
    fn parts_of_an_external_reference_do_not_run_together() {
        let key = |source: &str, chat: &str, message: &str| {
            external(&ExternalRef { source: source.into(), chat: chat.into(), message: message.into() })
        };
        assert_ne!(key("a", "bc", "d"), key("ab", "c", "d"));
        assert_ne!(key("a", "b", "cd"), key("a", "bc", "d"));
    }

    #[test]
    fn keys_keep_their_bytes() {
        let room = RoomId([7; 16]);
        let hex = |key: Key| hex::encode(key);
        let r = "07".repeat(16);
        assert_eq!(hex(log(room, Seq(258))), format!("12{r}0000000000000102"));
        assert_eq!(hex(control(room)), format!("10{r}"));
        assert_eq!(hex(room_list(UserId(1), room)), format!("408000000000000001{r}"));
        assert_eq!(hex(p2p(UserId(9), UserId(2))), "3380000000000000028000000000000009");
        assert_eq!(hex(client_message(UserId(1), &ClientMessageId("ab".into()))), "2180000000000000016162");
        assert_eq!(hex(message(MessageId(5))), "200000000000000005");
        assert_eq!(hex(reaction(room, Seq(1), UserId(1), "+")), format!("14{r}000000000000000180000000000000012b"));
    }

    #[test]
    fn a_foreign_key_is_corrupt() {
        assert!(parse(&[0x12, 1], Table::Journal, "test").is_err());
        assert!(parse(&[], Table::Journal, "test").is_err());
        assert!(parse(&[0x11, 1], Table::Journal, "test").unwrap().room().is_err());
    }
}
