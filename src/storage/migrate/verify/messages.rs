//! A room's log, and what leads to and hangs on each message of it: its look-ups and its reactions.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Place, What, compare};
use crate::{
    domain::ids::RoomId,
    storage::{
        MessageRef, ReactionRow, Record,
        migrate::{
            Result, Work,
            overlay::{all_reactions, log},
            pages::{Join, Pair},
            room::LOOK_UPS,
        },
    },
};

pub(super) async fn compare(work: &Work, place: Place<'_>, room: RoomId) -> Result<()> {
    let mut join = Join::new(log(work, &work.from, room), log(work, &work.to, room), |record| record.seq);
    let mut messages = Vec::new();
    loop {
        let pair = join.next().await?;
        let ended = pair.is_none();
        work.progress.add_events(usize::from(!ended));
        let record = match pair {
            None => None,
            Some(Pair::From(record)) => {
                place.differs("log", format!("seq {}", record.seq), What::Missing);
                Some(record)
            }
            Some(Pair::To(record)) => {
                place.differs("log", format!("seq {}", record.seq), What::Extra);
                Some(record)
            }
            Some(Pair::Both(from, to)) => {
                compare::records(place, &from, &to);
                Some(from)
            }
        };
        messages.extend(record.filter(|record| record.message.is_some()));
        if messages.len() >= work.options.page || ended {
            work.rows(messages.len()).await;
            work.progress.add_messages(messages.len());
            let checks: Vec<_> = messages.iter().map(|record| message(work, place, room, record)).collect();
            stream::iter(checks).buffer_unordered(LOOK_UPS).try_collect::<()>().await?;
            messages.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

async fn message(work: &Work, place: Place<'_>, room: RoomId, record: &Record) -> Result<()> {
    let Some(keys) = &record.message else {
        return Ok(());
    };
    let found = |table, key: String, from: Option<MessageRef>, to: Option<MessageRef>| match (from, to) {
        (Some(_), None) => place.differs(table, key, What::Missing),
        (None, Some(_)) => place.differs(table, key, What::Extra),
        (from, to) => place.field(table, key, "message", (&from, &to), compare::shown),
    };
    let from = work.from.ask(|s| s.find_message(keys.id)).await?;
    let to = work.to.ask(|s| s.find_message(keys.id)).await?;
    found("message id", keys.id.to_string(), from, to);
    let (sender, client_id) = (record.actor, &keys.client_id);
    let from = work.from.ask(|s| s.find_client_message(sender, client_id)).await?;
    let to = work.to.ask(|s| s.find_client_message(sender, client_id)).await?;
    found("client message id", format!("{client_id} of user {sender}"), from, to);
    if let Some(external) = &keys.external {
        let from = work.from.ask(|s| s.find_external(external)).await?;
        let to = work.to.ask(|s| s.find_external(external)).await?;
        let key = format!("{}/{}/{}", external.source, external.chat, external.message);
        found("external reference", key, from, to);
    }
    reactions(work, place, room, record).await
}

async fn reactions(work: &Work, place: Place<'_>, room: RoomId, record: &Record) -> Result<()> {
    let seq = record.seq;
    let key = |row: &ReactionRow| (row.user, row.reaction.clone());
    let mut join = Join::new(all_reactions(work, &work.from, room, seq), all_reactions(work, &work.to, room, seq), key);
    while let Some(pair) = join.next().await? {
        let (row, what) = match pair {
            Pair::From(row) => (row, What::Missing),
            Pair::To(row) => (row, What::Extra),
            Pair::Both(..) => continue,
        };
        place.of(row.user).differs("reaction", format!("seq {seq}, {}", row.reaction), what);
    }
    Ok(())
}
