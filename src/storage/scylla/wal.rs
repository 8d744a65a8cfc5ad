//! An append's projection as bytes. They are stored with the batch itself, so that whoever takes the room over can carry
//! out what a dead writer had not come to. Fields are numbered; a number is never used again for something else.

use bytes::Bytes;
use prost::Message;

use crate::{
    domain::ids::{MessageId, Ordinal, Seq, UserId},
    storage::types::{Listing, MemberRow, Position, Projection, ReactionRow, RoomHead},
};

#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint64, tag = "2")]
    n: u64,
    #[prost(uint64, tag = "3")]
    message_seq: u64,
    #[prost(sfixed64, tag = "4")]
    message_id: i64,
    #[prost(sfixed64, tag = "5")]
    activity_ms: i64,
    #[prost(uint32, tag = "6")]
    members: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Member {
    #[prost(sfixed64, tag = "1")]
    user: i64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
    #[prost(uint32, tag = "3")]
    room_type: u32,
    #[prost(sfixed64, tag = "4")]
    partner: i64,
}

#[derive(Clone, PartialEq, Message)]
struct At {
    #[prost(sfixed64, tag = "1")]
    user: i64,
    #[prost(uint64, tag = "2")]
    read_seq: u64,
    #[prost(uint64, tag = "3")]
    read_n: u64,
    #[prost(uint64, tag = "4")]
    delivered_seq: u64,
    #[prost(uint64, tag = "5")]
    sent_n: u64,
    #[prost(uint64, tag = "6")]
    floor_n: u64,
    #[prost(uint64, tag = "7")]
    floor_seq: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Reaction {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(sfixed64, tag = "2")]
    user: i64,
    #[prost(string, tag = "3")]
    reaction: String,
}

#[derive(Clone, PartialEq, Message)]
struct Pin {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint64, tag = "2")]
    pin_seq: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    head: Option<Head>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    room: Option<Bytes>,
    #[prost(message, repeated, tag = "3")]
    members: Vec<Member>,
    #[prost(sfixed64, repeated, tag = "4")]
    removed: Vec<i64>,
    #[prost(message, repeated, tag = "5")]
    positions: Vec<At>,
    #[prost(message, repeated, tag = "6")]
    states: Vec<Body>,
    #[prost(message, repeated, tag = "7")]
    redacted: Vec<Body>,
    #[prost(message, repeated, tag = "8")]
    reacted: Vec<Reaction>,
    #[prost(message, repeated, tag = "9")]
    unreacted: Vec<Reaction>,
    #[prost(message, repeated, tag = "10")]
    pinned: Vec<Pin>,
    #[prost(uint64, repeated, tag = "11")]
    unpinned: Vec<u64>,
}

fn bodies(rows: &[(Seq, Bytes)]) -> Vec<Body> {
    rows.iter().map(|(seq, body)| Body { seq: seq.0, body: body.clone() }).collect()
}

fn reactions(rows: &[ReactionRow]) -> Vec<Reaction> {
    rows.iter().map(|row| Reaction { seq: row.seq.0, user: row.user.0, reaction: row.reaction.clone() }).collect()
}

/// The projection as bytes.
pub(super) fn encode(projection: &Projection) -> Vec<u8> {
    let head = &projection.head;
    let stored = Stored {
        head: Some(Head {
            seq: head.seq.0,
            n: head.n.0,
            message_seq: head.message_seq.0,
            message_id: head.message_id.0,
            activity_ms: head.activity_ms,
            members: head.members,
        }),
        room: projection.room.clone(),
        members: projection
            .members
            .iter()
            .map(|row| Member {
                user: row.user.0,
                body: row.body.clone(),
                room_type: u32::from(row.listing.room_type),
                partner: row.listing.partner.0,
            })
            .collect(),
        removed: projection.removed.iter().map(|user| user.0).collect(),
        positions: projection
            .positions
            .iter()
            .map(|(user, at)| At {
                user: user.0,
                read_seq: at.read_seq.0,
                read_n: at.read_n.0,
                delivered_seq: at.delivered_seq.0,
                sent_n: at.sent_n.0,
                floor_n: at.floor_n.0,
                floor_seq: at.floor_seq.0,
            })
            .collect(),
        states: bodies(&projection.states),
        redacted: bodies(&projection.redacted),
        reacted: reactions(&projection.reacted),
        unreacted: reactions(&projection.unreacted),
        pinned: projection.pinned.iter().map(|(seq, pin)| Pin { seq: seq.0, pin_seq: pin.0 }).collect(),
        unpinned: projection.unpinned.iter().map(|seq| seq.0).collect(),
    };
    stored.encode_to_vec()
}

/// The projection that these bytes say; none if they say none.
pub(super) fn decode(bytes: Vec<u8>) -> Option<Projection> {
    let stored = Stored::decode(Bytes::from(bytes)).ok()?;
    let head = stored.head?;
    let member = |row: Member| {
        let listing = Listing { room_type: u8::try_from(row.room_type).ok()?, partner: UserId(row.partner) };
        Some(MemberRow { user: UserId(row.user), body: row.body, listing })
    };
    let bodies = |rows: Vec<Body>| rows.into_iter().map(|row| (Seq(row.seq), row.body)).collect();
    let reactions = |rows: Vec<Reaction>| {
        let row = |row: Reaction| ReactionRow { seq: Seq(row.seq), user: UserId(row.user), reaction: row.reaction };
        rows.into_iter().map(row).collect()
    };
    Some(Projection {
        head: RoomHead {
            seq: Seq(head.seq),
            n: Ordinal(head.n),
            message_seq: Seq(head.message_seq),
            message_id: MessageId(head.message_id),
            activity_ms: head.activity_ms,
            members: head.members,
        },
        room: stored.room,
        members: stored.members.into_iter().map(member).collect::<Option<_>>()?,
        removed: stored.removed.into_iter().map(UserId).collect(),
        positions: stored.positions.into_iter().map(|at| (UserId(at.user), position(&at))).collect(),
        states: bodies(stored.states),
        redacted: bodies(stored.redacted),
        reacted: reactions(stored.reacted),
        unreacted: reactions(stored.unreacted),
        pinned: stored.pinned.into_iter().map(|pin| (Seq(pin.seq), Seq(pin.pin_seq))).collect(),
        unpinned: stored.unpinned.into_iter().map(Seq).collect(),
    })
}

fn position(at: &At) -> Position {
    Position {
        read_seq: Seq(at.read_seq),
        read_n: Ordinal(at.read_n),
        delivered_seq: Seq(at.delivered_seq),
        sent_n: Ordinal(at.sent_n),
        floor_n: Ordinal(at.floor_n),
        floor_seq: Seq(at.floor_seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_comes_back_as_it_was() {
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        let reaction = |user| ReactionRow { seq: Seq(3), user: UserId(user), reaction: "👍".into() };
        let projection = Projection {
            head: RoomHead {
                seq: Seq(u64::MAX),
                n: Ordinal(7),
                message_seq: Seq(5),
                message_id: MessageId(i64::MIN),
                activity_ms: -1,
                members: u32::MAX,
            },
            room: Some(Bytes::new()),
            members: vec![MemberRow {
                user: UserId(-7),
                body: body("m"),
                listing: Listing { room_type: u8::MAX, partner: UserId(i64::MIN) },
            }],
            removed: vec![UserId(1), UserId(-1)],
            positions: vec![(
                UserId(9),
                Position { read_seq: Seq(u64::MAX), floor_n: Ordinal(1), ..Position::default() },
            )],
            states: vec![(Seq(1), body("s")), (Seq(2), body(""))],
            redacted: vec![(Seq(4), body("r"))],
            reacted: vec![reaction(1)],
            unreacted: vec![reaction(2)],
            pinned: vec![(Seq(1), Seq(2))],
            unpinned: vec![Seq(9)],
        };
        assert_eq!(decode(encode(&projection)), Some(projection));
        assert_eq!(decode(encode(&Projection::default())), Some(Projection::default()));
    }

    #[test]
    fn other_bytes_are_none() {
        assert_eq!(decode(Vec::new()), None);
        assert_eq!(decode(vec![0xff; 9]), None);
    }
}
