//! One room: settings, head, members, positions, states, pins, pair, synchronisation, cursors. Its log and what leads to
//! its messages are in [`super::messages`].

use std::collections::BTreeSet;

use super::{Place, What, compare, messages};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{
        consumers,
        migrate::{
            Result, Work,
            overlay::{all_members, all_positions, all_states, former_members},
            pages::{Join, Pair, at_hand},
        },
    },
};

pub(super) async fn compare(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    let (from, to) = (work.from.ask(|s| s.room(room)).await?, work.to.ask(|s| s.room(room)).await?);
    place.field("room", "", "settings", (&from, &to), compare::some_body);
    let from = work.from.ask(|s| s.head(room)).await?.unwrap_or_default();
    let to = work.to.ask(|s| s.head(room)).await?.unwrap_or_default();
    compare::heads(place, &from, &to);
    messages::compare(work, place, room).await?;
    members(work, place, room).await?;
    positions(work, place, room).await?;
    states(work, place, room, from.seq.max(to.seq)).await?;
    pins(work, place, room).await?;
    sync_states(work, place, room).await?;
    for consumer in consumers::MOVED {
        let from = work.from.ask(|s| s.cursor(consumer, room)).await?;
        let to = work.to.ask(|s| s.cursor(consumer, room)).await?;
        place.field("cursor", consumer, "seq", (&from, &to), compare::shown);
    }
    Ok(())
}

async fn members(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    const TABLE: &str = "member";
    let mut join = Join::new(all_members(work, &work.from, room), all_members(work, &work.to, room), |(user, _)| *user);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        match pair {
            Pair::From((user, _)) => place.of(user).differs(TABLE, "", What::Missing),
            Pair::To((user, _)) => place.of(user).differs(TABLE, "", What::Extra),
            Pair::Both((user, from), (_, to)) => {
                let place = place.of(user);
                place.field(TABLE, "", "body", (&from, &to), compare::body);
                member(work, place, room, user).await?;
            }
        }
    }
    let former = former_members(work, &work.from, room).await?;
    let former: BTreeSet<_> = former.into_iter().chain(former_members(work, &work.to, room).await?).collect();
    for user in former {
        hidden(work, place.of(user), room, user).await?;
    }
    Ok(())
}

/// What a member has of the room in their list.
async fn member(work: &Work, place: Place<'_>, room: RoomId, user: UserId) -> Result<()> {
    let from = work.from.ask(|s| s.room_of(user, room)).await?;
    let to = work.to.ask(|s| s.room_of(user, room)).await?;
    match (from, to) {
        (None, None) => {}
        (Some(_), None) => place.differs("room list", "", What::Missing),
        (None, Some(_)) => place.differs("room list", "", What::Extra),
        (Some(from), Some(to)) => {
            compare::entries(place, &from, &to);
            let partner = from.listing.partner;
            if partner != UserId::default() {
                let from = work.from.ask(|s| s.find_p2p_room(user, partner)).await?;
                let to = work.to.ask(|s| s.find_p2p_room(user, partner)).await?;
                place.field("p2p room", format!("with {partner}"), "room", (&from, &to), compare::shown);
            }
        }
    }
    hidden(work, place, room, user).await
}

/// What a user has hidden in the room.
pub(super) async fn hidden(work: &Work, place: Place<'_>, room: RoomId, user: UserId) -> Result<()> {
    let from = work.from.ask(|s| s.hidden_messages(user, room, Seq(0), Seq(u64::MAX))).await?;
    let to = work.to.ask(|s| s.hidden_messages(user, room, Seq(0), Seq(u64::MAX))).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |seq| *seq);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(seq) => place.differs("hidden message", format!("seq {seq}"), What::Missing),
            Pair::To(seq) => place.differs("hidden message", format!("seq {seq}"), What::Extra),
            Pair::Both(..) => {}
        }
    }
    Ok(())
}

async fn positions(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    let mut join =
        Join::new(all_positions(work, &work.from, room), all_positions(work, &work.to, room), |(user, _)| *user);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        match pair {
            Pair::From((user, _)) => place.of(user).differs("position", "", What::Missing),
            Pair::To((user, _)) => place.of(user).differs("position", "", What::Extra),
            Pair::Both((user, from), (_, to)) => compare::positions(place.of(user), &from, &to),
        }
    }
    Ok(())
}

async fn states(work: &Work, place: Place<'_>, room: RoomId, last: Seq) -> Result<()> {
    let mut join = Join::new(all_states(&work.from, room, last), all_states(&work.to, room, last), |(seq, _)| *seq);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        match pair {
            Pair::From((seq, _)) => place.differs("state", format!("seq {seq}"), What::Missing),
            Pair::To((seq, _)) => place.differs("state", format!("seq {seq}"), What::Extra),
            Pair::Both((seq, from), (_, to)) => {
                place.field("state", format!("seq {seq}"), "body", (&from, &to), compare::body);
            }
        }
    }
    Ok(())
}

async fn pins(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    let from = work.from.ask(|s| s.pins(room, usize::MAX)).await?;
    let to = work.to.ask(|s| s.pins(room, usize::MAX)).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |(seq, _)| *seq);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From((seq, _)) => place.differs("pin", format!("seq {seq}"), What::Missing),
            Pair::To((seq, _)) => place.differs("pin", format!("seq {seq}"), What::Extra),
            Pair::Both((seq, from), (_, to)) => {
                place.field("pin", format!("seq {seq}"), "seq of the pin event", (&from, &to), compare::shown);
            }
        }
    }
    Ok(())
}

async fn sync_states(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    const TABLE: &str = "sync state";
    let from = work.from.ask(|s| s.sync_states(room)).await?;
    let to = work.to.ask(|s| s.sync_states(room)).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |(source, _)| source.clone());
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From((source, _)) => place.differs(TABLE, source, What::Missing),
            Pair::To((source, _)) => place.differs(TABLE, source, What::Extra),
            Pair::Both((source, from), (_, to)) => {
                place.field(TABLE, source, "state", (&from, &to), compare::body);
            }
        }
    }
    Ok(())
}
