//! All statements of the store, prepared once. Every partition key column is bound, so that the driver finds the
//! replicas by itself.

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::statement::{Statement, prepared::PreparedStatement};

use super::session::{Database, PAGE};
use crate::storage::{Result, StoreError, StoreErrorKind};

/// Statements prepared at once.
const AT_ONCE: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// May be written twice.
    Write,
    /// Reads what a quorum has confirmed.
    Read,
    /// A lightweight transaction.
    Transact,
    /// A read that is ordered with lightweight transactions.
    Serial,
}

async fn prepare(database: &Database, kind: Kind, text: &str) -> Result<PreparedStatement> {
    let statement = Statement::new(text).with_page_size(PAGE);
    let mut prepared = database
        .session()
        .prepare(statement)
        .await
        .map_err(|source| StoreError::because(StoreErrorKind::Invalid, "prepare", source))?;
    let profiles = &database.profiles;
    let profile = match kind {
        Kind::Write => &profiles.write,
        Kind::Read => &profiles.read,
        Kind::Transact | Kind::Serial => &profiles.serial,
    };
    prepared.set_is_idempotent(!matches!(kind, Kind::Transact));
    prepared.set_execution_profile_handle(Some(profile.clone().into_handle()));
    if let (Kind::Serial, Some(serial)) = (kind, profile.get_serial_consistency()) {
        prepared.set_consistency(match serial {
            scylla::statement::SerialConsistency::Serial => scylla::statement::Consistency::Serial,
            scylla::statement::SerialConsistency::LocalSerial => scylla::statement::Consistency::LocalSerial,
        });
    }
    Ok(prepared)
}

macro_rules! statements {
    ($($name:ident: $kind:ident $text:expr;)*) => {
        /// The prepared statements.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: PreparedStatement,)*
        }

        /// What they are, and how they are carried out.
        const TEXTS: &[(&str, Kind, &str)] = &[$((stringify!($name), Kind::$kind, $text),)*];

        impl Statements {
            /// Prepares all of them.
            pub(super) async fn prepare(database: &Database) -> Result<Self> {
                let mut prepared = stream::iter(TEXTS.iter().map(|(_, kind, text)| (*kind, *text)))
                    .map(|(kind, text)| prepare(database, kind, text))
                    .buffered(AT_ONCE)
                    .try_collect::<Vec<_>>()
                    .await?
                    .into_iter();
                Ok(Self { $($name: prepared.next().expect("as many as were asked for"),)* })
            }
        }
    };
}

statements! {
    // Generations and claims.
    generation_put: Write "INSERT INTO node_generations (generation, name, started_at) VALUES (?, ?, ?)";
    generation_fence: Write "UPDATE node_generations SET fenced = true WHERE generation = ?";
    generation_gate: Read "SELECT fenced FROM node_generations WHERE generation = ?";
    claim_read: Serial "SELECT epoch, generation FROM room_claims WHERE room_id = ?";
    claim_first: Transact "INSERT INTO room_claims (room_id, epoch, generation) VALUES (?, ?, ?) IF NOT EXISTS";
    claim_next: Transact "UPDATE room_claims SET epoch = ?, generation = ? WHERE room_id = ? \
        IF epoch = ? AND generation = ?";
    active_put: Write "INSERT INTO active_rooms (bucket, room_key, epoch) VALUES (?, ?, ?) USING TIMESTAMP ?";
    active_remove: Write "DELETE FROM active_rooms USING TIMESTAMP ? WHERE bucket = ? AND room_key = ? AND epoch <= ?";
    active_left: Read "SELECT epoch FROM active_rooms WHERE bucket = ? AND room_key = ? AND epoch <= ? LIMIT 1";
    active_page: Read "SELECT room_key FROM active_rooms WHERE bucket = ? AND room_key > ? GROUP BY room_key LIMIT ?";

    // The log.
    log_put: Write "INSERT INTO messages_by_room (room_id, block, seq, epoch, origin_epoch, batch_last, stamp, n, kind, actor, at, message_id, client_message_id, external_source, external_chat, \
        external_message, body, projection) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP :ts";
    log_range: Read "SELECT seq, epoch, origin_epoch, batch_last, stamp, n, kind, actor, at, message_id, client_message_id, \
        external_source, external_chat, external_message, body \
        FROM messages_by_room WHERE room_id = ? AND block = ? AND seq >= ? AND seq <= ?";
    log_projection: Read "SELECT projection FROM messages_by_room \
        WHERE room_id = ? AND block = ? AND seq = ? AND epoch = ?";
    log_epochs: Read "SELECT epoch FROM messages_by_room WHERE room_id = ? AND block = ? AND seq = ?";
    log_redact: Write "UPDATE messages_by_room USING TIMESTAMP ? SET body = ? \
        WHERE room_id = ? AND block = ? AND seq = ? AND epoch = ?";
    log_settle: Write "UPDATE messages_by_room USING TIMESTAMP ? SET projection = ? \
        WHERE room_id = ? AND block = ? AND seq = ? AND epoch = ?";
    log_shut: Write "DELETE FROM messages_by_room USING TIMESTAMP ? \
        WHERE room_id = ? AND block = ? AND seq = ? AND epoch > ? AND epoch < ?";
    amendments_void: Write "DELETE FROM room_amendments USING TIMESTAMP ? WHERE room_id = ? AND epoch < ?";
    amendment_put: Write "INSERT INTO room_amendments (room_id, epoch, stamp, projection) \
        VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    amendment_last: Read "SELECT epoch, stamp, projection FROM room_amendments WHERE room_id = ? \
        ORDER BY epoch DESC LIMIT 1";

    // Numbers of the room and its members.
    head_put: Write "UPDATE room_progress USING TIMESTAMP ? SET head_seq = ?, head_n = ?, head_message_seq = ?, \
        head_message_id = ?, head_activity_at = ?, head_members = ?, head_first = ?, head_epoch = ?, head_stamp = ? \
        WHERE room_id = ?";
    owner_put: Write "UPDATE room_progress USING TIMESTAMP ? SET head_first = ?, head_epoch = ?, head_stamp = ? \
        WHERE room_id = ?";
    closed_put: Write "UPDATE room_progress USING TIMESTAMP ? SET head_closed = ? WHERE room_id = ?";
    head_read: Read "SELECT head_seq, head_n, head_message_seq, head_message_id, head_activity_at, head_members, \
        head_first, head_epoch, head_stamp, head_closed FROM room_progress WHERE room_id = ? LIMIT 1";
    position_put: Write "INSERT INTO room_progress (room_id, user_id, read_seq, read_n, delivered_seq, sent_n, \
        floor_n, floor_seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    position_read: Read "SELECT user_id, read_seq, read_n, delivered_seq, sent_n, floor_n, floor_seq, head_epoch, \
        head_closed FROM room_progress WHERE room_id = ? AND user_id = ?";
    positions_page: Read "SELECT user_id, read_seq, read_n, delivered_seq, sent_n, floor_n, floor_seq, head_epoch, \
        head_closed FROM room_progress WHERE room_id = ? AND user_id > ? LIMIT ?";

    // Rooms and members.
    details_put: Write "INSERT INTO room_details (room_id, settings) VALUES (?, ?) USING TIMESTAMP ?";
    details_read: Read "SELECT settings FROM room_details WHERE room_id = ?";
    listed_put: Write "INSERT INTO rooms_by_bucket (bucket, room_key) VALUES (?, ?) USING TIMESTAMP ?";
    listed_page: Read "SELECT room_key FROM rooms_by_bucket WHERE bucket = ? AND room_key > ? LIMIT ?";
    member_put: Write "INSERT INTO participants_by_room (room_id, user_id, body) VALUES (?, ?, ?) USING TIMESTAMP ?";
    member_remove: Write "DELETE FROM participants_by_room USING TIMESTAMP ? WHERE room_id = ? AND user_id = ?";
    member_read: Read "SELECT body FROM participants_by_room WHERE room_id = ? AND user_id = ?";
    members_page: Read "SELECT user_id, body FROM participants_by_room WHERE room_id = ? AND user_id > ? LIMIT ?";
    listing_put: Write "UPDATE rooms_by_user USING TIMESTAMP ? SET room_type = ?, partner = ? \
        WHERE user_id = ? AND room_key = ?";
    listing_remove: Write "UPDATE rooms_by_user USING TIMESTAMP ? SET room_type = null, partner = null, \
        left_stamp = ? WHERE user_id = ? AND room_key = ?";
    listing_read: Read "SELECT room_key, room_type, partner, left_stamp, pinned, muted_until, hidden_at, \
        hidden_messages, prefs_left_stamp FROM rooms_by_user WHERE user_id = ? AND room_key = ?";
    listing_page: Read "SELECT room_key, room_type, partner, left_stamp, pinned, muted_until, hidden_at, \
        hidden_messages, prefs_left_stamp FROM rooms_by_user WHERE user_id = ? AND room_key > ?";
    listing_prefs: Read "SELECT room_type, left_stamp, WRITETIME(prefs_left_stamp) FROM rooms_by_user \
        WHERE user_id = ? AND room_key = ?";
    prefs_put: Write "UPDATE rooms_by_user USING TIMESTAMP ? SET pinned = ?, muted_until = ?, hidden_at = ?, hidden_messages = ?, \
        prefs_left_stamp = ? WHERE user_id = ? AND room_key = ?";
    p2p_put: Transact "INSERT INTO p2p_room_by_users (user_a, user_b, room_id) VALUES (?, ?, ?) IF NOT EXISTS";
    p2p_read: Serial "SELECT room_id FROM p2p_room_by_users WHERE user_a = ? AND user_b = ?";
    sync_put: Write "INSERT INTO sync_states (room_id, source, state) VALUES (?, ?, ?) USING TIMESTAMP ?";
    sync_time: Read "SELECT WRITETIME(state) FROM sync_states WHERE room_id = ? AND source = ?";
    sync_read: Read "SELECT state FROM sync_states WHERE room_id = ? AND source = ?";
    syncs_of: Read "SELECT source, state FROM sync_states WHERE room_id = ?";
    job_put: Write "INSERT INTO join_jobs (part, room_key, state) VALUES (?, ?, ?) USING TIMESTAMP ?";
    job_remove: Write "DELETE FROM join_jobs USING TIMESTAMP ? WHERE part = ? AND room_key = ?";
    job_time: Read "SELECT WRITETIME(state) FROM join_jobs WHERE part = ? AND room_key = ?";
    job_read: Read "SELECT state FROM join_jobs WHERE part = ? AND room_key = ?";
    jobs_all: Read "SELECT room_key, state FROM join_jobs WHERE part = ?";

    // Messages by their keys, and what changed about them.
    message_put: Write "INSERT INTO room_by_message (slice, message_id, room_id, seq) VALUES (?, ?, ?, ?)";
    message_read: Read "SELECT room_id, seq FROM room_by_message WHERE slice = ? AND message_id = ?";
    sender_put: Write "INSERT INTO message_by_sender_message_id (sender_id, bucket, client_message_id, stamp, room_id, \
        seq) VALUES (?, ?, ?, ?, ?, ?)";
    sender_read: Read "SELECT room_id, seq FROM message_by_sender_message_id WHERE sender_id = ? AND bucket = ? \
        AND client_message_id = ?";
    external_put: Write "INSERT INTO message_by_external_ref (source, chat, external_message, room_id, seq, \
        message_id) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    external_read: Read "SELECT room_id, seq, message_id FROM message_by_external_ref \
        WHERE source = ? AND chat = ? AND external_message = ?";
    reservation_put: Transact "INSERT INTO external_reservations (source, chat, external_message, message_id, \
        room_id, epoch) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
    reservation_take: Transact "UPDATE external_reservations SET message_id = ?, room_id = ?, epoch = ? \
        WHERE source = ? AND chat = ? AND external_message = ? IF message_id = ? AND room_id = ? AND epoch = ?";
    reservation_drop: Transact "DELETE FROM external_reservations \
        WHERE source = ? AND chat = ? AND external_message = ? IF message_id = ? AND room_id = ? AND epoch = ?";
    reservation_read: Serial "SELECT message_id, room_id, epoch FROM external_reservations \
        WHERE source = ? AND chat = ? AND external_message = ?";
    state_put: Write "INSERT INTO message_states (room_id, block, seq, state) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    state_block_put: Write "INSERT INTO message_state_blocks (room_id, block) VALUES (?, ?) USING TIMESTAMP ?";
    state_blocks: Read "SELECT block FROM message_state_blocks WHERE room_id = ? AND block >= ? AND block <= ?";
    states_range: Read "SELECT seq, state FROM message_states WHERE room_id = ? AND block = ? \
        AND seq >= ? AND seq <= ?";
    reaction_put: Write "INSERT INTO reactions_by_message (room_id, seq, user_id, reaction) VALUES (?, ?, ?, ?) \
        USING TIMESTAMP ?";
    reaction_remove: Write "DELETE FROM reactions_by_message USING TIMESTAMP ? \
        WHERE room_id = ? AND seq = ? AND user_id = ? AND reaction = ?";
    reaction_read: Read "SELECT user_id, reaction FROM reactions_by_message \
        WHERE room_id = ? AND seq = ? AND user_id = ? AND reaction = ?";
    reactions_all: Read "SELECT user_id, reaction FROM reactions_by_message WHERE room_id = ? AND seq = ? LIMIT ?";
    reactions_after: Read "SELECT user_id, reaction FROM reactions_by_message \
        WHERE room_id = ? AND seq = ? AND (user_id, reaction) > (?, ?) LIMIT ?";
    pin_put: Write "INSERT INTO pinned_messages (room_id, seq, pin_seq) VALUES (?, ?, ?) USING TIMESTAMP ?";
    pin_remove: Write "DELETE FROM pinned_messages USING TIMESTAMP ? WHERE room_id = ? AND seq = ?";
    pins_page: Read "SELECT seq, pin_seq FROM pinned_messages WHERE room_id = ? LIMIT ?";

    // Users.
    hidden_put: Transact "INSERT INTO hidden_messages (user_id, room_id, seq) VALUES (?, ?, ?) IF NOT EXISTS";
    hidden_range: Read "SELECT seq FROM hidden_messages WHERE user_id = ? AND room_id = ? AND seq >= ? AND seq <= ?";
    profile_put: Write "INSERT INTO profiles (user_id, profile) VALUES (?, ?) USING TIMESTAMP ?";
    profile_time: Read "SELECT WRITETIME(profile) FROM profiles WHERE user_id = ?";
    profile_read: Read "SELECT profile FROM profiles WHERE user_id = ?";
    user_put: Write "INSERT INTO users_by_bucket (bucket, user_id) VALUES (?, ?)";
    users_page: Read "SELECT user_id FROM users_by_bucket WHERE bucket = ? AND user_id > ? LIMIT ?";
    block_put: Transact "INSERT INTO blocks_by_user (user_id, blocked_id) VALUES (?, ?) IF NOT EXISTS";
    block_remove: Transact "DELETE FROM blocks_by_user WHERE user_id = ? AND blocked_id = ? IF EXISTS";
    block_read: Read "SELECT blocked_id FROM blocks_by_user WHERE user_id = ? AND blocked_id = ?";
    blocks_page: Read "SELECT blocked_id FROM blocks_by_user WHERE user_id = ? AND blocked_id > ? LIMIT ?";
    device_put: Write "INSERT INTO devices_by_user (user_id, client_id, token_hash, body) VALUES (?, ?, ?, ?) \
        USING TIMESTAMP ?";
    device_remove: Write "DELETE FROM devices_by_user USING TIMESTAMP ? WHERE user_id = ? AND client_id = ?";
    device_times: Read "SELECT client_id, token_hash, WRITETIME(token_hash) FROM devices_by_user \
        WHERE user_id = ? AND client_id IN (?, ?)";
    devices_all: Read "SELECT client_id, token_hash, body FROM devices_by_user WHERE user_id = ?";
    token_put: Write "INSERT INTO device_tokens (token_hash, owner) VALUES (?, ?) USING TIMESTAMP ?";
    token_read: Read "SELECT owner, WRITETIME(owner) FROM device_tokens WHERE token_hash = ?";
    cursor_put: Write "INSERT INTO cursors (room_id, consumer, seq) VALUES (?, ?, ?) USING TIMESTAMP ?";
    cursor_read: Read "SELECT seq FROM cursors WHERE room_id = ? AND consumer = ?";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that are only ever added, each with the one value it can have: any timestamp will do.
    const ONLY_ADDED: [&str; 5] = ["generation_put", "generation_fence", "message_put", "sender_put", "user_put"];

    #[test]
    fn no_row_is_changed_by_a_timestamp_of_the_driver() {
        let by_driver: Vec<&str> = TEXTS
            .iter()
            .filter(|(_, kind, text)| *kind == Kind::Write && !text.contains("USING TIMESTAMP"))
            .map(|(name, ..)| *name)
            .collect();
        assert_eq!(by_driver, ONLY_ADDED);
        let tables = |of: &str| {
            let (.., text) = TEXTS.iter().find(|(name, ..)| *name == of).expect("a statement");
            let words = text.split_whitespace().skip_while(|word| !["INTO", "UPDATE"].contains(word));
            words.skip(1).take(1).map(str::to_owned).collect::<String>()
        };
        for table in ONLY_ADDED.map(tables) {
            let is_removed = |text: &str| text.starts_with("DELETE") && text.contains(&format!("{table} "));
            assert!(!TEXTS.iter().any(|(.., text)| is_removed(text)), "rows of {table} are removed");
        }
    }

    #[test]
    fn tables_are_changed_by_transactions_alone_or_never() {
        let tables = |of: Kind| -> Vec<&str> {
            let texts = TEXTS.iter().filter(|(_, kind, text)| *kind == of && !text.starts_with("SELECT"));
            texts.filter_map(|(.., text)| text.split_whitespace().find(|word| word.contains('_'))).collect()
        };
        let written = tables(Kind::Write);
        for table in tables(Kind::Transact) {
            assert!(!written.contains(&table), "{table} is written with and without transactions");
        }
    }
}
