//! Reads a room from the store: the whole of it for its writer, or single messages in their present state.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    actors::{Context, fair_share::RowsAtOnce},
    domain::{
        event::Event,
        ids::{Epoch, RoomId, Seq, UserId},
        message::Message,
        room::{Author, Command, RoomState, RoomType, Subject},
    },
    storage::{Direction, ReactionRow, Record, Result, Store, StoreError, StoreErrorKind, codec},
};

/// Rows read at a time.
const PAGE: usize = 256;
/// Events read back at most when looking for the newest messages of a room.
const TAIL_EVENTS_MAX: usize = 4_000;
/// A warm message takes about so many bytes besides twice its body.
const MESSAGE_BYTES: usize = 512;
/// Bytes of the log read at a time, about.
const PAGE_BYTES: usize = 256 << 10;

/// The room as its writer needs it. The claim must have been made before, so that nothing can be appended behind it.
///
/// A large room takes a while; between pages others have their turn.
///
/// # Errors
/// [`StoreError`]; `Corrupt` when the log's end is not where the head says.
pub(crate) async fn state(context: &Context, id: RoomId, epoch: Epoch) -> Result<RoomState> {
    let (store, options) = (&*context.store, &context.options);
    let mut state = RoomState::empty(id, epoch, options.warm_messages).with_tail_bytes(options.warm_room_bytes);
    let Some(head) = store.head(id).await? else {
        return Ok(state);
    };
    state.head = head;
    if let Some(body) = store.room(id).await? {
        let (info, uncounted) = codec::decode_room(id, &body)?;
        (state.info, state.uncounted) = (Some(Arc::new(info)), Arc::new(uncounted));
    }
    let mut after = UserId(0);
    loop {
        let page = store.members(id, after, PAGE).await?;
        let more = page.len() == PAGE;
        for (user, body) in page {
            after = user;
            state.members.insert(user, codec::decode_member(&body)?);
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut after = UserId(0);
    loop {
        let page = store.positions(id, after, PAGE).await?;
        let more = page.len() == PAGE;
        for (user, position) in page {
            after = user;
            state.positions.insert(user, position);
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    state.pins = store.pins(id, crate::domain::limits::PINS_MAX).await?;
    state.blocked = blocked(store, &state).await?;
    // Closed with the node alone, which never closes it.
    let _turn = context.tails.acquire().await.ok();
    let (after, messages) = tail(store, id, head.seq, options.warm_messages, options.warm_room_bytes).await?;
    state.warm(after, messages);
    Ok(state)
}

/// Whether a p2p room's sides have blocked one another.
async fn blocked(store: &dyn Store, state: &RoomState) -> Result<bool> {
    if state.info.as_ref().is_none_or(|info| info.room_type != RoomType::P2p) {
        return Ok(false);
    }
    let mut users = state.members.keys().copied();
    let (Some(a), Some(b)) = (users.next(), users.next()) else {
        return Ok(false);
    };
    Ok(store.has_block(a, b).await? || store.has_block(b, a).await?)
}

/// The newest messages, oldest first, and the place after which they are complete: so many, of about so many bytes.
async fn tail(
    store: &dyn Store,
    id: RoomId,
    last: Seq,
    messages_max: usize,
    bytes_max: usize,
) -> Result<(Seq, Vec<Arc<Message>>)> {
    let mut sent: Vec<Message> = Vec::new();
    let mut before = last.next();
    let (mut read, mut bytes) = (0, 0);
    let mut at_once = RowsAtOnce::new(PAGE, PAGE_BYTES);
    let is_full = |messages: usize, bytes: usize| messages >= messages_max || (messages > 0 && bytes >= bytes_max);
    while !is_full(sent.len(), bytes) && read < TAIL_EVENTS_MAX && before.0 > 1 {
        if read > 0 {
            tokio::task::yield_now().await;
        }
        let page = store.read_log(id, before, Direction::Backward, at_once.get()).await?;
        if page.is_empty() {
            break;
        }
        read += page.len();
        at_once.learn(page.len(), page.iter().map(|record| record.body.len()).sum());
        for record in page {
            if record.seq.next() != before {
                return Err(StoreError::because(
                    StoreErrorKind::Corrupt,
                    "load_tail",
                    format!("room {id}: the log has a gap before seq {before}"),
                ));
            }
            before = record.seq;
            if record.message.is_some() {
                bytes += MESSAGE_BYTES + 2 * record.body.len();
                sent.push(codec::decode_message(id, &record)?);
            }
            if is_full(sent.len(), bytes) {
                break;
            }
        }
    }
    sent.reverse();
    let after = Seq(before.0.saturating_sub(1));
    Ok((after, present(store, id, sent).await?))
}

/// The events after `after` up to `last`.
pub(crate) async fn events(store: &dyn Store, id: RoomId, after: Seq, last: Seq) -> Result<Vec<Arc<Event>>> {
    let mut events = Vec::new();
    let mut after = after;
    while after < last {
        let page = store.read_log(id, after, Direction::Forward, PAGE).await?;
        for record in page.iter().filter(|record| record.seq <= last) {
            events.push(Arc::new(codec::decode_event(id, record)?));
        }
        match page.last() {
            Some(record) => after = record.seq,
            None => break,
        }
    }
    Ok(events)
}

/// The present states of messages (in seq order) that were read as sent.
pub(crate) async fn present(store: &dyn Store, id: RoomId, sent: Vec<Message>) -> Result<Vec<Arc<Message>>> {
    let (Some(first), Some(last)) = (sent.first(), sent.last()) else {
        return Ok(Vec::new());
    };
    let states = store.message_states(id, first.seq, last.seq).await?;
    let mut states: BTreeMap<Seq, bytes::Bytes> = states.into_iter().collect();
    let now = |message: Message| match states.remove(&message.seq) {
        Some(state) => codec::decode_state(id, &state).map(Arc::new),
        None => Ok(Arc::new(message)),
    };
    sent.into_iter().map(now).collect()
}

/// One message in its present state; none if there is no message at `seq`.
pub(crate) async fn message(store: &dyn Store, id: RoomId, seq: Seq) -> Result<Option<Arc<Message>>> {
    let record: Option<Record> = store.record(id, seq).await?;
    let Some(record) = record.filter(|r| r.message.is_some()) else {
        return Ok(None);
    };
    Ok(present(store, id, vec![codec::decode_message(id, &record)?]).await?.pop())
}

/// What a command is about.
pub(crate) async fn subject(store: &dyn Store, id: RoomId, author: Author, command: &Command) -> Result<Subject> {
    let Some(seq) = command.message() else {
        return Ok(Subject::default());
    };
    let message = message(store, id, seq).await?;
    let has_reaction = match command {
        Command::React { reaction, .. } => {
            let row = ReactionRow { seq, user: author.user, reaction: reaction.clone() };
            store.has_reaction(id, &row).await?
        }
        _ => false,
    };
    Ok(Subject { message, has_reaction })
}
