//! Every key there is: the one list that names, defaults, bounds, documents and checks them.

use super::value::{Kind, MASTER_IV_LEN, MASTER_KEY_LEN};

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Section and name, `server.listen`.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The default, as a variable would write it; empty for what is not set.
    pub default: &'static str,
    /// Unit of the value; empty for what has none.
    pub unit: &'static str,
    /// What it does, a sentence or two.
    pub meaning: &'static str,
}

/// A group of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, the table in the file.
    pub name: &'static str,
    /// What it is about.
    pub meaning: &'static str,
}

impl Key {
    /// The section's name.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(_, name)| name)
    }

    /// The environment variable: `TERTULIA_<SECTION>_<NAME>`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("TERTULIA_{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The groups, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section { name: "server", meaning: "The listener, the data directory and bounds of the process." },
    Section {
        name: "auth",
        meaning: "Who may call: keys that verify the product's JSON Web Tokens. Several sources may be set at once. With none, a development key is made in the data directory (`dev-jwt.key`).",
    },
    Section {
        name: "encryption",
        meaning: "Master keys of what is stored. With none, a key is made in the data directory (`dev-chat.key`); keep that file as long as the data.",
    },
    Section {
        name: "storage",
        meaning: "Where everything is kept. `storage.fsync…` and `storage.cache_mb` are of the embedded store. They, and what `[postgres]` and `[scylla]` say beside place and login, also count for stores that are opened by an address.",
    },
    Section {
        name: "postgres",
        meaning: "The PostgreSQL store: version 13 or newer, encoding UTF8. Setting `postgres.host` selects it.",
    },
    Section {
        name: "scylla",
        meaning: "The ScyllaDB or Cassandra store. Tested on Cassandra 5.0; made for Cassandra 4.1 and ScyllaDB 5.4 or newer. `USE_SCYLLADB=true`, or `storage.backend`, selects it.",
    },
    Section {
        name: "redis",
        meaning: "Cache, typing, presence, rate limits and stream counts shared by the nodes of a cluster. None of it is truth: with Redis gone the server is slower and counts for itself.",
    },
    Section { name: "rooms", meaning: "Rooms that are awake." },
    Section { name: "streams", meaning: "Streams to clients." },
    Section {
        name: "limits",
        meaning: "Rates and work in flight. A caller beyond them is refused at once and told when to retry.",
    },
    Section { name: "log", meaning: "Log lines, on standard error." },
];

const fn int(
    path: &'static str,
    default: &'static str,
    (min, max): (i64, i64),
    unit: &'static str,
    meaning: &'static str,
) -> Key {
    Key { path, kind: Kind::Integer { min, max }, default, unit, meaning }
}

const fn text(path: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { path, kind, default, unit: "", meaning }
}

const DAY_MS: i64 = 86_400_000;
const MIB: i64 = 1 << 20;
const RATE: (i64, i64) = (0, 1_000_000);
const BURST: (i64, i64) = (1, 1_000_000);

/// The keys, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    text("server.listen", Kind::Address, "127.0.0.1:8080", "Address to listen on; port 0 takes a free one."),
    text("server.data_dir", Kind::Path, "./data", "Directory of everything durable; made if it is not there. One process at a time."),
    int("server.drain_timeout_ms", "10000", (0, 600_000), "ms", "Longest time a shutdown waits for each stage: streams, rooms, connections, the second store."),
    int("server.drain_delay_ms", "0", (0, 600_000), "ms", "Time between a signal to stop and the end of accepting connections. The server says everywhere that it is not ready and serves all the same, so that a balancer sees it and sends calls elsewhere: a little more than the balancer's interval. Without a balancer it would only make a stop slower."),
    int("server.max_connections", "50000", (1, 10_000_000), "connections", "Most client connections at once. Beyond it one that has shown no valid token yet is closed for each that comes: the oldest one, of the address that has the most of them. If there is none, what comes may ask for health and metrics alone."),
    int("server.max_connections_per_address", "1024", (0, 10_000_000), "connections", "Most connections from one address, or from one /64 of IPv6; 0 is without limit. Beyond it the address's own oldest one without a valid token is closed; if there is none, the new one is."),
    text("server.uncounted_networks", Kind::Networks, "private", "Addresses and networks that `server.max_connections_per_address` does not count, with commas between them: a proxy stands there, and many users come from its address. `private` is loopback, private and link-local networks; `none` counts all."),
    int("server.handshake_timeout_ms", "10000", (100, 600_000), "ms", "The head of a connection's first request must have come within this time."),
    int("server.idle_timeout_ms", "120000", (1000, DAY_MS), "ms", "A connection without a call is closed after this time. One that has shown no valid token is closed so long after its last request, whatever it has open."),
    int("server.body_timeout_ms", "30000", (100, 600_000), "ms", "Longest time for the body of a unary call to come, and for the first message of a stream or session."),
    int("server.body_bytes_max", "134217728", (65_536, 1024 * 1024 * MIB), "bytes", "Bytes of requests under way in the process: being received, or of calls not yet answered. Beyond it, as beyond the next two, a call is refused with `overloaded`."),
    int("server.body_bytes_per_user", "4194304", (65_536, 1024 * MIB), "bytes", "The same of one user; never less than two messages of the greatest size."),
    int("server.body_bytes_per_connection", "16777216", (65_536, 1024 * MIB), "bytes", "The same on one connection; never less than two messages of the greatest size."),
    int("server.worker_threads", "0", (0, 1024), "threads", "Threads that serve; 0 takes one a core."),
    int("server.request_timeout_ms", "10000", (1, 600_000), "ms", "Longest time a unary call may take; a client's own shorter deadline counts first."),
    int("server.max_message_bytes", "1048576", (4096, 64 * MIB), "bytes", "Largest request body."),
    int("server.write_timeout_ms", "30000", (100, 3_600_000), "ms", "How long a client may take nothing of what waits for it; then the call, stream or session is reset, or the connection closed."),
    int("server.answer_bytes", "134217728", (8 * MIB, 1 << 40), "bytes", "Most bytes of answers that are being made or wait to be taken, of all clients. One user may have half of what is free."),
    int("server.answer_bytes_per_user", "16777216", (MIB, 1 << 40), "bytes", "The same of one user. Who is over it waits up to a second and is refused with `overloaded` then."),
    int("server.answer_bytes_per_connection", "33554432", (MIB, 1 << 40), "bytes", "The same on one connection."),
    text("server.strict_json", Kind::Choice(&["auto", "on", "off"]), "auto", "Whether JSON with a field that does not exist is refused, or the field is ignored. `auto`: refused with the development key. A request decides for itself with the header `tertulia-strict: 1` or `0`."),

    text("auth.hmac_secret", Kind::Secret, "", "HS256 secret of at least 32 bytes, the bytes of the text as they are."),
    text("auth.hmac_secret_file", Kind::Text, "", "File with the HS256 secret; instead of `auth.hmac_secret`."),
    text("auth.public_key_file", Kind::Text, "", "File with PEM public keys (RSA, P-256, Ed25519), one or more."),
    text("auth.jwks_file", Kind::Text, "", "File with a JSON Web Key Set."),
    text("auth.jwks_url", Kind::Url, "", "Address of a JSON Web Key Set."),
    int("auth.jwks_refresh_s", "300", (1, 86_400), "s", "How often key files and the address are read again. A token with an unknown key id asks for it earlier, at most every 10 s."),
    text("auth.issuer", Kind::Text, "", "Required `iss` of tokens; empty requires none."),
    text("auth.audience", Kind::Text, "", "Required `aud` of tokens; empty requires none."),
    text("auth.user_id_claim", Kind::Name, "sub", "Claim with the user id: an integer or its decimal digits, at least 1. Claims may be paths with dots (`profile.id`)."),
    text("auth.name_claim", Kind::Name, "name", "Claim with the name to show."),
    text("auth.picture_claim", Kind::Name, "picture", "Claim with the address of a picture."),
    text("auth.admin_claim", Kind::Name, "role", "Claim that makes an admin."),
    text("auth.admin_value", Kind::Name, "admin", "Value of that claim, or of one of its elements, that makes an admin."),

    text("encryption.key", Kind::HexSecret { bytes: MASTER_KEY_LEN }, "", "Master key in hexadecimal, 32 bytes. Also read from `CHAT_KEY`."),
    text("encryption.iv", Kind::HexSecret { bytes: MASTER_IV_LEN }, "", "Initialization vector for wrapping room keys in hexadecimal, 16 bytes. Also read from `CHAT_IV`."),
    int("encryption.key_id", "1", (1, 255), "", "Number of the master key, written beside everything it encrypts. A new key needs a new number."),
    text("encryption.old_keys", Kind::OldKeys, "", "Former master keys, for reading: `[{ key_id = 1, key = \"…\", iv = \"…\" }]`; in the environment `1:KEY:IV,2:KEY:IV`."),

    text("storage.backend", Kind::Choice(&["auto", "embedded", "postgres", "scylla"]), "auto", "Which store. `auto`: PostgreSQL if `postgres.host` is set, otherwise the embedded one. `USE_SCYLLADB=true` or `SCYLLA_ENABLED=true` is another way to say `scylla`."),
    text("storage.fsync", Kind::Choice(&["always", "interval"]), "always", "`always`: what is acknowledged survives a power failure. `interval`: it may be lost for up to `storage.fsync_interval_ms`, and acknowledgements say so."),
    int("storage.fsync_interval_ms", "100", (1, 60_000), "ms", "Longest time between two syncs with `storage.fsync = \"interval\"`."),
    int("storage.cache_mb", "64", (8, 1_048_576), "MiB", "Memory for blocks of the store."),
    text("storage.phase", Kind::Choice(&["before", "sync", "reads", "writes", "after"]), "before", "How far the move to the second store is: `sync`, it follows; `writes`, it serves and the first one follows; `after`, it serves alone. `reads` is not supported. See [moving](migrating.md). `SYNC_TO_SCYLLA`, `USE_SCYLLA_READS` and `USE_SCYLLA_WRITES` are another way to say it."),
    text("storage.mirror", Kind::Secret, "", "Address of the second store, as `tertulia migrate` takes it; it may hold a password, and say behind a `?` where the store differs from what is configured for its kind: see [addresses](migrating.md#at-rest). Empty: the one of `[scylla]`."),
    int("storage.mirror_rows_per_s", "0", (0, 100_000_000), "rows/s", "Most rows a second that are read from the store that serves, to bring them to the other one; 0 is without limit."),
    int("storage.worker_id", "0", (0, 1023), "", "Number of this node within message ids; no two nodes may share one."),

    text("postgres.host", Kind::Text, "", "Name or address of the server; a path that begins with `/` is the directory of its Unix socket. Also read from `POSTGRES_HOST`."),
    int("postgres.port", "5432", (1, 65_535), "", "Its port. Also read from `POSTGRES_PORT`."),
    text("postgres.user", Kind::Name, "tertulia", "User to log in as. Also read from `POSTGRES_USER`."),
    text("postgres.password", Kind::Secret, "", "That user's password. Also read from `POSTGRES_PASSWORD`."),
    text("postgres.database", Kind::Name, "tertulia", "Database; must be there. Also read from `POSTGRES_DB`."),
    text("postgres.schema", Kind::Name, "tertulia", "Schema of the tables within the database; made if it is not there."),
    int("postgres.pool_size", "16", (2, 1000), "connections", "Most connections of this node."),
    int("postgres.append_lanes", "4", (1, 64), "transactions", "Group commits under way at once; appends that come meanwhile go together into the next ones."),
    int("postgres.connect_timeout_ms", "1500", (10, 600_000), "ms", "Longest time to connect, and to wait for a free connection."),
    int("postgres.statement_timeout_ms", "3500", (10, 600_000), "ms", "Longest time of one statement; the server gives it up then and nothing of it is written."),

    text("scylla.hosts", Kind::Text, "", "Hosts to begin with, `host` or `host:port`, with commas between them. Also read from `SCYLLA_HOSTS` and `SCYLLA_CONTACT_POINTS`."),
    int("scylla.port", "9042", (1, 65_535), "", "Port of hosts that name none. Also read from `SCYLLA_PORT`."),
    text("scylla.keyspace", Kind::Name, "tertulia", "Keyspace: letters, digits, underscores. Also read from `SCYLLA_KEYSPACE`."),
    text("scylla.datacenter", Kind::Text, "", "Datacenter of this node, the same on all nodes; needed with LOCAL_QUORUM over several."),
    text("scylla.username", Kind::Text, "", "User to log in as; empty for a database that asks for none. Also read from `SCYLLA_USERNAME`."),
    text("scylla.password", Kind::Secret, "", "That user's password. Also read from `SCYLLA_PASSWORD`."),
    text("scylla.consistency", Kind::Choice(&["LOCAL_QUORUM", "QUORUM", "ONE", "LOCAL_ONE"]), "LOCAL_QUORUM", "Replicas that confirm a write and answer a read. `ONE` and `LOCAL_ONE` only in a keyspace with one copy. Also read from `SCYLLA_CONSISTENCY`."),
    int("scylla.replication_factor", "1", (0, 9), "copies", "A keyspace that is missing is made with so many copies, in `scylla.datacenter` if that is set; 0 makes none."),
    int("scylla.request_timeout_ms", "3000", (100, 600_000), "ms", "Longest wait for one answer."),

    text("redis.host", Kind::Text, "", "Host of Redis; empty uses none. Also read from `REDIS_HOST`."),
    int("redis.port", "6379", (1, 65_535), "", "Its port. Also read from `REDIS_PORT`."),
    text("redis.password", Kind::Secret, "", "Its password, if it asks for one."),
    text("redis.prefix", Kind::Name, "tertulia:", "Before every key, so that several systems can share one Redis."),
    int("redis.timeout_ms", "100", (1, 60_000), "ms", "An answer that takes longer is done without."),

    int("rooms.idle_ms", "120000", (1000, DAY_MS), "ms", "A room with nothing to do sleeps after this time."),
    int("rooms.warm_messages", "256", (1, 65_536), "messages", "Latest messages an awake room keeps in memory."),
    int("rooms.warm_room_bytes", "1048576", (4096, 1024 * MIB), "bytes", "Memory those messages of one room may take, about; fewer are kept when they are large, but always the newest one."),
    int("rooms.warm_node_mb", "128", (8, 1_048_576), "MiB", "Memory all awake rooms may take, about, with their members and positions. Over it, rooms that were not used for longest give back their messages, then sleep."),
    int("rooms.queue_max", "1024", (1, 1_048_576), "commands", "Commands waiting for one room; more are refused."),
    int("rooms.batch_max", "256", (1, 1000), "events", "Events of one room written at once."),
    int("rooms.max_members", "100000", (2, 10_000_000), "members", "Most members of a room."),
    text("rooms.join_all_users", Kind::Choice(&["admin", "anyone"]), "admin", "Who may make a channel to which everyone is added: tokens with the admin role, or anyone."),
    text("rooms.external_refs", Kind::Choice(&["admin", "room_admins"]), "admin", "Who may set `external_ref`, a message's twin in another system: tokens with the admin role (a bridge's), or also a room's OWNERs and ADMINs. A reference is taken once for all rooms: with `room_admins` whoever makes a room can take those that a bridge needs."),

    int("streams.per_user_max", "32", (1, 10_000), "streams", "Open streams of one user."),
    int("streams.queue_bytes_max", "1048576", (65_536, 1024 * MIB), "bytes", "Bytes waiting for one slow client; what comes beyond is read from the log when it has caught up."),
    int("streams.catch_up_max", "10000", (1, 1_000_000), "events", "Events of one room replayed to a client that comes back; more make it resync."),
    int("streams.heartbeat_ms", "15000", (100, 600_000), "ms", "Time between two `Connected` events on a stream."),

    int("limits.user_per_s", "100", RATE, "calls/s", "Calls of one user; 0 is without limit."),
    int("limits.user_burst", "200", BURST, "calls", "Calls a user may make at once after a pause."),
    int("limits.admin_per_s", "5000", RATE, "calls/s", "Calls of one user with a token that has the admin role (operators, bridges, importers), instead of `limits.user_per_s`; 0 is without limit. What a search costs beyond a call is charged to `limits.user_per_s` all the same."),
    int("limits.admin_burst", "10000", BURST, "calls", "Calls of theirs at once after a pause."),
    int("limits.room_per_s", "2000", RATE, "messages/s", "Messages sent to one room; 0 is without limit."),
    int("limits.room_burst", "4000", BURST, "messages", "Messages a room takes at once after a pause."),
    int("limits.adds_per_h", "2000", RATE, "users/h", "Users whom one user may add to rooms, by making them or later, on each node; so many at once after a pause. 0 is without limit. Tokens with the admin role are not counted."),
    int("limits.in_flight_max", "65536", (1, 16_777_216), "commands", "Commands being worked on in the process."),
    text("limits.url_schemes", Kind::Schemes, "https,http", "Schemes that addresses of pictures and attachments may have, with commas between. Never `javascript`, `data`, `file` and the like."),

    text("log.level", Kind::LogFilter, "info", "Level, or filter directives such as `info,tertulia=debug`."),
    text("log.format", Kind::Choice(&["text", "json"]), "text", "Form of log lines."),
];
