//! Every statement there is, with the index that serves it. A test asks the server to explain each of them over a
//! million rows and refuses sequential scans and other indexes.
//!
//! No SQL stands elsewhere, but for [`super::migrate`] and the settings of a session.

/// One statement, prepared once a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Statement {
    /// Its text.
    pub(super) sql: &'static str,
    /// The indexes it may use; none for those that only insert. Two, where both are unique and serve alike.
    pub(super) indexes: &'static [&'static str],
}

/// For the rest of a transaction: whoever waits for a lock gives up at once. Zero would mean for ever.
pub(super) const NO_WAIT_FOR_LOCKS: &str = "SET LOCAL lock_timeout = 1";

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: [$($index:literal),*] = $sql:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: Statement = Statement { sql: $sql, indexes: &[$($index),*] };)*

        /// All of them, with their names.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, Statement)] = &[$((stringify!($name), $name)),*];
    };
}

/// Rows of the log, in the order that [`super::rows::record`] reads.
macro_rules! log_rows {
    ($which:literal) => {
        concat!(
            "SELECT seq, n, epoch, kind, actor, at_ms, body, message_id, client_id, ext_source, ext_chat, ext_message
             FROM room_log WHERE ",
            $which
        )
    };
}

/// Where a message is, in the order that [`super::rows::message_ref`] reads.
macro_rules! message_ref {
    ($which:literal) => {
        concat!("SELECT room, seq, message_id FROM room_log WHERE ", $which)
    };
}

/// Rooms in a user's list, in the order that [`super::rows::list_entry`] reads.
macro_rules! room_list {
    ($which:literal) => {
        concat!(
            "SELECT room, room_type, partner, pinned, muted_until_ms, hidden_at, hidden_messages
             FROM membership WHERE ",
            $which
        )
    };
}

/// Appends of several rooms: `gate` lets those pass whose epoch is the claimed one and whose records follow the head;
/// what the others would write is left out. `IS TRUE` keeps the look at the gate a hash look-up instead of a join.
/// Answers with the rooms that passed.
macro_rules! append {
    ($($more:literal),*) => {
        concat!(
            "WITH gate AS (
                UPDATE room_control c
                SET seq = v.seq, n = v.n, message_seq = v.message_seq, message_id = v.message_id,
                    activity_ms = v.activity_ms, members = v.members, appended = true
                FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                            $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
                    AS v(room, epoch, prev, seq, n, message_seq, message_id, activity_ms, members)
                WHERE c.room = v.room AND c.epoch = v.epoch AND c.seq = v.prev
                RETURNING c.room
            ), log AS (
                INSERT INTO room_log (room, seq, n, epoch, kind, actor, at_ms, message_id, client_id, client_first,
                                      ext_source, ext_chat, ext_message, body)
                SELECT v.* FROM unnest($10::uuid[], $11::bigint[], $12::bigint[], $13::bigint[], $14::smallint[],
                                       $15::bigint[], $16::bigint[], $17::bigint[], $18::bytea[], $19::boolean[],
                                       $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[])
                    AS v(room, seq, n, epoch, kind, actor, at_ms, message_id, client_id, client_first,
                         ext_source, ext_chat, ext_message, body)
                WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ), positions AS (
                INSERT INTO room_position AS p (room, user_id, read_seq, read_n, delivered_seq, sent_n, floor_n,
                                                floor_seq)
                SELECT v.* FROM unnest($24::uuid[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[],
                                       $29::bigint[], $30::bigint[], $31::bigint[])
                    AS v(room, user_id, read_seq, read_n, delivered_seq, sent_n, floor_n, floor_seq)
                WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
                ON CONFLICT (room, user_id) DO UPDATE
                SET read_seq = umax(p.read_seq, excluded.read_seq), read_n = umax(p.read_n, excluded.read_n),
                    delivered_seq = umax(p.delivered_seq, excluded.delivered_seq),
                    sent_n = umax(p.sent_n, excluded.sent_n), floor_n = umax(p.floor_n, excluded.floor_n),
                    floor_seq = umax(p.floor_seq, excluded.floor_seq)
            )",
            $($more,)*
            " SELECT room FROM gate"
        )
    };
}

statements! {
    /// Sends and reads: records and positions.
    APPEND_MESSAGES: ["room_control_pkey"] = append!();

    /// Everything a projection can say. A row is in one list only: who is removed and added again is `fresh`.
    APPEND_ALL: [
        "room_control_pkey", "room_log_pkey", "membership_pkey", "membership_user", "reaction_pkey", "pin_pkey"
    ] = append!(
        ", settings AS (
            INSERT INTO room (room, settings)
            SELECT v.* FROM unnest($32::uuid[], $33::bytea[]) AS v(room, settings)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT (room) DO UPDATE SET settings = excluded.settings
        ), gone AS (
            DELETE FROM membership m USING unnest($34::uuid[], $35::bigint[]) AS v(room, user_id)
            WHERE m.room = v.room AND m.user_id = v.user_id AND (v.room IN (SELECT room FROM gate)) IS TRUE
        ), kept AS (
            INSERT INTO membership (room, user_id, body, room_type, partner)
            SELECT v.* FROM unnest($36::uuid[], $37::bigint[], $38::bytea[], $39::smallint[], $40::bigint[])
                AS v(room, user_id, body, room_type, partner)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT (room, user_id) DO UPDATE
            SET body = excluded.body, room_type = excluded.room_type, partner = excluded.partner
        ), fresh AS (
            INSERT INTO membership (room, user_id, body, room_type, partner)
            SELECT v.* FROM unnest($41::uuid[], $42::bigint[], $43::bytea[], $44::smallint[], $45::bigint[])
                AS v(room, user_id, body, room_type, partner)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT (room, user_id) DO UPDATE
            SET body = excluded.body, room_type = excluded.room_type, partner = excluded.partner,
                pinned = false, muted_until_ms = 0, hidden_at = NULL, hidden_messages = 0
        ), states AS (
            INSERT INTO message_state (room, seq, body)
            SELECT v.* FROM unnest($46::uuid[], $47::bigint[], $48::bytea[]) AS v(room, seq, body)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT (room, seq) DO UPDATE SET body = excluded.body
        ), redacted AS (
            UPDATE room_log l SET body = v.body
            FROM unnest($49::uuid[], $50::bigint[], $51::bytea[]) AS v(room, seq, body)
            WHERE l.room = v.room AND l.seq = v.seq AND (v.room IN (SELECT room FROM gate)) IS TRUE
        ), unreacted AS (
            DELETE FROM reaction r
            USING unnest($52::uuid[], $53::bigint[], $54::bigint[], $55::bytea[]) AS v(room, seq, user_id, reaction)
            WHERE r.room = v.room AND r.seq = v.seq AND r.user_id = v.user_id AND r.reaction = v.reaction
                AND (v.room IN (SELECT room FROM gate)) IS TRUE
        ), reacted AS (
            INSERT INTO reaction (room, seq, user_id, reaction)
            SELECT v.* FROM unnest($56::uuid[], $57::bigint[], $58::bigint[], $59::bytea[])
                AS v(room, seq, user_id, reaction)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT DO NOTHING
        ), unpinned AS (
            DELETE FROM pin p USING unnest($60::uuid[], $61::bigint[]) AS v(room, seq)
            WHERE p.room = v.room AND p.seq = v.seq AND (v.room IN (SELECT room FROM gate)) IS TRUE
        ), pinned AS (
            INSERT INTO pin (room, seq, pin_seq)
            SELECT v.* FROM unnest($62::uuid[], $63::bigint[], $64::bigint[]) AS v(room, seq, pin_seq)
            WHERE (v.room IN (SELECT room FROM gate)) IS TRUE
            ON CONFLICT (room, seq) DO UPDATE SET pin_seq = excluded.pin_seq
        )"
    );

    CLAIM: [] =
        "INSERT INTO room_control AS c (room, epoch, active)
         SELECT v.room, 1, true FROM unnest($1::uuid[]) AS v(room)
         ON CONFLICT (room) DO UPDATE SET epoch = c.epoch + 1, active = true
         RETURNING room, epoch";
    RELEASE: ["room_control_pkey"] =
        "UPDATE room_control SET active = false WHERE room = $1 AND epoch = $2";
    ACTIVE_ROOMS: ["room_control_active"] =
        "SELECT room FROM room_control WHERE active AND room >= $1 ORDER BY room LIMIT $2";
    CONTROL: ["room_control_pkey"] = "SELECT epoch, seq FROM room_control WHERE room = $1";
    HEAD: ["room_control_pkey"] =
        "SELECT room, seq, n, message_seq, message_id, activity_ms, members FROM room_control
         WHERE room = $1 AND appended";
    HEADS: ["room_control_pkey"] =
        "SELECT room, seq, n, message_seq, message_id, activity_ms, members FROM room_control
         WHERE room = ANY ($1) AND appended";

    LOG_FORWARD: ["room_log_pkey"] = log_rows!("room = $1 AND seq > $2 ORDER BY seq LIMIT $3");
    LOG_BACKWARD: ["room_log_pkey"] = log_rows!("room = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    RECORD: ["room_log_pkey"] = log_rows!("room = $1 AND seq = $2");
    FIND_MESSAGE: ["room_log_message"] = message_ref!("message_id = $1");
    /// Of many pairs of sender and client id; each row ends with the place of its pair, from 1.
    FIND_CLIENT_MESSAGES: ["room_log_client"] =
        "SELECT l.room, l.seq, l.message_id, v.place
         FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS v(actor, client_id, place)
         JOIN room_log l ON l.actor = v.actor AND l.client_id = v.client_id AND l.client_first";
    FIND_EXTERNAL: ["room_log_external"] =
        message_ref!("ext_source = $1 AND ext_chat = $2 AND ext_message = $3");
    MESSAGE_STATES: ["message_state_pkey"] =
        "SELECT seq, body FROM message_state WHERE room = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq";
    HAS_REACTION: ["reaction_pkey"] =
        "SELECT 1 FROM reaction WHERE room = $1 AND seq = $2 AND user_id = $3 AND reaction = $4";
    REACTIONS: ["reaction_pkey"] =
        "SELECT user_id, reaction FROM reaction
         WHERE room = $1 AND seq = $2 AND (user_id, reaction) > ($3, $4) ORDER BY user_id, reaction LIMIT $5";
    PINS: ["pin_pkey"] = "SELECT seq, pin_seq FROM pin WHERE room = $1 ORDER BY seq LIMIT $2";

    PUT_CURSOR: [] =
        "INSERT INTO log_cursor AS c (room, consumer, seq) VALUES ($1, $2, $3)
         ON CONFLICT (room, consumer) DO UPDATE SET seq = excluded.seq
         WHERE umax(c.seq, excluded.seq) <> c.seq";
    CURSOR: ["log_cursor_pkey"] = "SELECT seq FROM log_cursor WHERE room = $1 AND consumer = $2";

    ROOM: ["room_pkey"] = "SELECT settings FROM room WHERE room = $1";
    ROOMS: ["room_pkey"] = "SELECT room FROM room WHERE room >= $1 ORDER BY room LIMIT $2";
    MEMBERS: ["membership_pkey"] =
        "SELECT user_id, body FROM membership WHERE room = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";
    MEMBER: ["membership_pkey", "membership_user"] = "SELECT body FROM membership WHERE room = $1 AND user_id = $2";
    POSITIONS: ["room_position_pkey"] =
        "SELECT user_id, read_seq, read_n, delivered_seq, sent_n, floor_n, floor_seq FROM room_position
         WHERE room = $1 AND user_id > $2 ORDER BY user_id LIMIT $3";
    POSITION: ["room_position_pkey"] =
        "SELECT user_id, read_seq, read_n, delivered_seq, sent_n, floor_n, floor_seq FROM room_position
         WHERE room = $1 AND user_id = $2";
    FIND_P2P_ROOM: ["p2p_room_pkey"] = "SELECT room FROM p2p_room WHERE low_user = $1 AND high_user = $2";
    /// Who comes second gets the first one's room: the update changes nothing, but waits for the first to commit.
    P2P_ROOM: [] =
        "INSERT INTO p2p_room AS p (low_user, high_user, room) VALUES ($1, $2, $3)
         ON CONFLICT (low_user, high_user) DO UPDATE SET room = p.room RETURNING room";
    PUT_SYNC_STATE: [] =
        "INSERT INTO sync_state (room, source, body) VALUES ($1, $2, $3)
         ON CONFLICT (room, source) DO UPDATE SET body = excluded.body";
    SYNC_STATE: ["sync_state_pkey"] = "SELECT body FROM sync_state WHERE room = $1 AND source = $2";
    SYNC_STATES: ["sync_state_pkey"] = "SELECT source, body FROM sync_state WHERE room = $1 ORDER BY source";
    PUT_JOIN_JOB: [] =
        "INSERT INTO join_job (room, body) VALUES ($1, $2) ON CONFLICT (room) DO UPDATE SET body = excluded.body";
    END_JOIN_JOB: ["join_job_pkey"] = "DELETE FROM join_job WHERE room = $1";
    JOIN_JOB: ["join_job_pkey"] = "SELECT body FROM join_job WHERE room = $1";
    JOIN_JOBS: ["join_job_pkey"] = "SELECT room, body FROM join_job ORDER BY room";

    ROOMS_OF: ["membership_user"] = room_list!("user_id = $1 AND room >= $2 ORDER BY room LIMIT $3");
    ROOM_OF: ["membership_pkey", "membership_user"] = room_list!("user_id = $1 AND room = $2");
    PUT_PREFS: ["membership_pkey", "membership_user"] =
        "UPDATE membership SET pinned = $3, muted_until_ms = $4, hidden_at = $5, hidden_messages = $6
         WHERE room = $1 AND user_id = $2";
    HIDE_MESSAGE: [] =
        "INSERT INTO hidden_message (user_id, room, seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    HIDDEN_MESSAGES: ["hidden_message_pkey"] =
        "SELECT seq FROM hidden_message WHERE user_id = $1 AND room = $2 AND seq BETWEEN $3 AND $4 ORDER BY seq";
    PUT_PROFILE: [] =
        "INSERT INTO profile (user_id, body) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET body = excluded.body";
    PROFILES: ["profile_pkey"] = "SELECT user_id, body FROM profile WHERE user_id = ANY ($1)";
    KNOWN_USERS: ["profile_pkey"] = "SELECT user_id FROM profile WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    BLOCK: [] = "INSERT INTO user_block (by_user, whom) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    UNBLOCK: ["user_block_pkey"] = "DELETE FROM user_block WHERE by_user = $1 AND whom = $2";
    HAS_BLOCK: ["user_block_pkey"] = "SELECT 1 FROM user_block WHERE by_user = $1 AND whom = $2";
    BLOCKS: ["user_block_pkey"] =
        "SELECT whom FROM user_block WHERE by_user = $1 AND whom > $2 ORDER BY whom LIMIT $3";
    /// Takes a token from whoever else has it.
    TAKE_TOKEN: ["device_token"] =
        "DELETE FROM device WHERE token_hash = $3 AND (user_id <> $1 OR client_id <> $2)";
    PUT_DEVICE: [] =
        "INSERT INTO device (user_id, client_id, token_hash, body) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id, client_id) DO UPDATE SET token_hash = excluded.token_hash, body = excluded.body";
    REMOVE_DEVICE: ["device_pkey"] = "DELETE FROM device WHERE user_id = $1 AND client_id = $2";
    DEVICES: ["device_pkey"] =
        "SELECT client_id, token_hash, body FROM device WHERE user_id = $1 ORDER BY client_id";
}
