-- The tables of the store contract (src/storage/mod.rs); docs/data-model.md says what each is for.
--
-- Texts are bytea: they are compared byte by byte, and may hold any byte. Unsigned 64-bit numbers are kept as the
-- bigint with the same bits: those up to 2^63 - 1, all that occur, read as they are; umax compares the others as well.
-- Bodies are sealed: STORAGE EXTERNAL, because compressing them is work for nothing.

CREATE FUNCTION umax(a bigint, b bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN (a < 0) = (b < 0) THEN GREATEST(a, b) ELSE LEAST(a, b) END $$;

-- A room's writer and newest numbers: one row, rewritten by every append. Half of each page stays free, so that the
-- new version stays on its page and no index changes.
CREATE TABLE room_control (
    room        uuid    PRIMARY KEY,
    epoch       bigint  NOT NULL,
    active      boolean NOT NULL,
    appended    boolean NOT NULL DEFAULT false,
    seq         bigint  NOT NULL DEFAULT 0,
    n           bigint  NOT NULL DEFAULT 0,
    message_seq bigint  NOT NULL DEFAULT 0,
    message_id  bigint  NOT NULL DEFAULT 0,
    activity_ms bigint  NOT NULL DEFAULT 0,
    members     bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX room_control_active ON room_control (room) WHERE active;

-- The log. A message's look-up keys are columns of its row, each with its index. client_first: the first message that
-- has this client id of this sender, the one that is found by it.
CREATE TABLE room_log (
    room         uuid     NOT NULL,
    seq          bigint   NOT NULL,
    n            bigint   NOT NULL,
    epoch        bigint   NOT NULL,
    kind         smallint NOT NULL,
    actor        bigint   NOT NULL,
    at_ms        bigint   NOT NULL,
    message_id   bigint,
    client_id    bytea,
    client_first boolean  NOT NULL DEFAULT false,
    body_hash    bytea,
    ext_source   bytea,
    ext_chat     bytea,
    ext_message  bytea,
    body         bytea    NOT NULL,
    PRIMARY KEY (room, seq)
);
CREATE UNIQUE INDEX room_log_message ON room_log (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX room_log_client ON room_log (actor, client_id) WHERE client_first;
CREATE UNIQUE INDEX room_log_external ON room_log (ext_source, ext_chat, ext_message) WHERE ext_source IS NOT NULL;
ALTER TABLE room_log ALTER COLUMN body SET STORAGE EXTERNAL;

-- Present state of messages that changed since they were sent.
CREATE TABLE message_state (
    room uuid   NOT NULL,
    seq  bigint NOT NULL,
    body bytea  NOT NULL,
    PRIMARY KEY (room, seq)
);
ALTER TABLE message_state ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE reaction (
    room     uuid   NOT NULL,
    seq      bigint NOT NULL,
    user_id  bigint NOT NULL,
    reaction bytea  NOT NULL,
    PRIMARY KEY (room, seq, user_id, reaction)
);

CREATE TABLE pin (
    room    uuid   NOT NULL,
    seq     bigint NOT NULL,
    pin_seq bigint NOT NULL,
    PRIMARY KEY (room, seq)
);

CREATE TABLE room (
    room     uuid  PRIMARY KEY,
    settings bytea NOT NULL
);
ALTER TABLE room ALTER COLUMN settings SET STORAGE EXTERNAL;

-- A membership, seen from the room (primary key) and from the user (index): the member's row, and the room in the
-- user's list with the user's own settings for it.
CREATE TABLE membership (
    room            uuid     NOT NULL,
    user_id         bigint   NOT NULL,
    body            bytea    NOT NULL,
    room_type       smallint NOT NULL,
    partner         bigint   NOT NULL,
    pinned          boolean  NOT NULL DEFAULT false,
    muted_until_ms  bigint   NOT NULL DEFAULT 0,
    hidden_at       bigint,
    hidden_messages bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (room, user_id)
);
CREATE UNIQUE INDEX membership_user ON membership (user_id, room);
ALTER TABLE membership ALTER COLUMN body SET STORAGE EXTERNAL;

-- How far a member has come. Rewritten by every send of the member: free space as in room_control.
CREATE TABLE room_position (
    room          uuid   NOT NULL,
    user_id       bigint NOT NULL,
    read_seq      bigint NOT NULL,
    read_n        bigint NOT NULL,
    delivered_seq bigint NOT NULL,
    sent_n        bigint NOT NULL,
    floor_n       bigint NOT NULL,
    floor_seq     bigint NOT NULL,
    PRIMARY KEY (room, user_id)
) WITH (fillfactor = 50);

CREATE TABLE p2p_room (
    low_user  bigint NOT NULL,
    high_user bigint NOT NULL,
    room      uuid   NOT NULL,
    PRIMARY KEY (low_user, high_user)
);

CREATE TABLE sync_state (
    room   uuid  NOT NULL,
    source bytea NOT NULL,
    body   bytea NOT NULL,
    PRIMARY KEY (room, source)
);

CREATE TABLE join_job (
    room uuid  PRIMARY KEY,
    body bytea NOT NULL
);

CREATE TABLE hidden_message (
    user_id bigint NOT NULL,
    room    uuid   NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (user_id, room, seq)
);

CREATE TABLE profile (
    user_id bigint PRIMARY KEY,
    body    bytea  NOT NULL
);

CREATE TABLE user_block (
    by_user bigint NOT NULL,
    whom    bigint NOT NULL,
    PRIMARY KEY (by_user, whom)
);

-- A push token belongs to one device of one user.
CREATE TABLE device (
    user_id    bigint NOT NULL,
    client_id  bytea  NOT NULL,
    token_hash bytea  NOT NULL,
    body       bytea  NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE UNIQUE INDEX device_token ON device (token_hash);

CREATE TABLE log_cursor (
    room     uuid   NOT NULL,
    consumer bytea  NOT NULL,
    seq      bigint NOT NULL,
    PRIMARY KEY (room, consumer)
) WITH (fillfactor = 50);
