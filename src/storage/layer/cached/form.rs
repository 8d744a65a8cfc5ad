//! The bytes answers are kept in. Reading never panics: bytes that are no answer are none.
//!
//! The first byte of a mark is the version of all of these forms: change it with any of them, and what older servers
//! have kept is not found.

#![allow(clippy::ptr_arg, reason = "each pair is a `Kind`, whose functions take and give the same type")]

use bytes::Bytes;

use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{MessageKey, MessageRef, Record, RoomHead},
};

const VERSION: u8 = 2;

/// Bytes of [`mark`].
pub(super) const MARK_LEN: usize = 1 + 8 * 5 + 4;

/// What stands before an answer: the head it belongs to, whole.
pub(super) fn mark(head: &RoomHead) -> [u8; MARK_LEN] {
    let mut mark = [0; MARK_LEN];
    mark[0] = VERSION;
    let numbers =
        [head.seq.0, head.n.0, head.message_seq.0, head.message_id.0.cast_unsigned(), head.activity_ms.cast_unsigned()];
    for (slot, number) in mark[1..].chunks_exact_mut(8).zip(numbers) {
        slot.copy_from_slice(&number.to_be_bytes());
    }
    mark[MARK_LEN - 4..].copy_from_slice(&head.members.to_be_bytes());
    mark
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn body(&mut self) -> Option<Bytes> {
        self.bytes().map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend(bytes);
    Some(())
}

fn encode_list<T>(list: &[T], one: impl Fn(&mut Vec<u8>, &T) -> Option<()>) -> Option<Vec<u8>> {
    let mut out = Vec::from(u32::try_from(list.len()).ok()?.to_be_bytes());
    list.iter().try_for_each(|item| one(&mut out, item))?;
    Some(out)
}

fn decode_list<T>(bytes: &[u8], one: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let mut reader = Reader(bytes);
    let len = reader.len()?;
    // Each item has a byte at least: a length that lies takes no memory.
    let mut list = Vec::with_capacity(len.min(bytes.len()));
    for _ in 0..len {
        list.push(one(&mut reader)?);
    }
    reader.0.is_empty().then_some(list)
}

pub(super) fn encode_ref(found: &MessageRef) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(found.room.0);
    out.extend(found.seq.0.to_be_bytes());
    out.extend(found.id.0.to_be_bytes());
    out
}

pub(super) fn decode_ref(bytes: &[u8]) -> Option<MessageRef> {
    let mut reader = Reader(bytes.strip_prefix(&[VERSION])?);
    let found = MessageRef { room: RoomId(reader.array()?), seq: Seq(reader.u64()?), id: MessageId(reader.i64()?) };
    reader.0.is_empty().then_some(found)
}

pub(super) fn encode_records(records: &Vec<Record>) -> Option<Vec<u8>> {
    encode_list(records, |out, record| {
        for number in [record.seq.0, record.n.0, record.epoch.0] {
            out.extend(number.to_be_bytes());
        }
        out.push(record.kind);
        out.extend(record.actor.0.to_be_bytes());
        out.extend(record.at_ms.to_be_bytes());
        match &record.message {
            None => out.push(0),
            Some(message) => {
                out.push(if message.external.is_some() { 2 } else { 1 });
                out.extend(message.id.0.to_be_bytes());
                put_bytes(out, message.client_id.0.as_bytes())?;
                if let Some(external) = &message.external {
                    for part in [&external.source, &external.chat, &external.message] {
                        put_bytes(out, part.as_bytes())?;
                    }
                }
            }
        }
        put_bytes(out, &record.body)
    })
}

pub(super) fn decode_records(bytes: &[u8]) -> Option<Vec<Record>> {
    decode_list(bytes, |reader| {
        let (seq, n, epoch) = (Seq(reader.u64()?), Ordinal(reader.u64()?), Epoch(reader.u64()?));
        let kind = reader.u8()?;
        let (actor, at_ms) = (UserId(reader.i64()?), reader.i64()?);
        let message = match reader.u8()? {
            0 => None,
            form => Some(decode_message_key(reader, form)?),
        };
        Some(Record { seq, n, epoch, kind, actor, at_ms, message, body: reader.body()? })
    })
}

fn decode_message_key(reader: &mut Reader<'_>, form: u8) -> Option<MessageKey> {
    let id = MessageId(reader.i64()?);
    let client_id = ClientMessageId(reader.text()?.into());
    let external = match form {
        1 => None,
        2 => {
            let mut part = || reader.text().map(str::to_owned);
            Some(ExternalRef { source: part()?, chat: part()?, message: part()? })
        }
        _ => return None,
    };
    Some(MessageKey { id, client_id, external })
}

pub(super) fn encode_states(states: &Vec<(Seq, Bytes)>) -> Option<Vec<u8>> {
    encode_list(states, |out, (seq, body)| {
        out.extend(seq.0.to_be_bytes());
        put_bytes(out, body)
    })
}

pub(super) fn decode_states(bytes: &[u8]) -> Option<Vec<(Seq, Bytes)>> {
    decode_list(bytes, |reader| Some((Seq(reader.u64()?), reader.body()?)))
}

pub(super) fn encode_members(members: &Vec<(UserId, Bytes)>) -> Option<Vec<u8>> {
    encode_list(members, |out, (user, body)| {
        out.extend(user.0.to_be_bytes());
        put_bytes(out, body)
    })
}

pub(super) fn decode_members(bytes: &[u8]) -> Option<Vec<(UserId, Bytes)>> {
    decode_list(bytes, |reader| Some((UserId(reader.i64()?), reader.body()?)))
}

pub(super) fn encode_pins(pins: &Vec<(Seq, Seq)>) -> Option<Vec<u8>> {
    encode_list(pins, |out, (message, pin)| {
        out.extend(message.0.to_be_bytes());
        out.extend(pin.0.to_be_bytes());
        Some(())
    })
}

pub(super) fn decode_pins(bytes: &[u8]) -> Option<Vec<(Seq, Seq)>> {
    decode_list(bytes, |reader| Some((Seq(reader.u64()?), Seq(reader.u64()?))))
}
