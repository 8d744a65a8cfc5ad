//! `tertulia import relational` as its users have it: tables with thousands of rows and everything odd in a real
//! PostgreSQL, the built binary killed half-way, and a server on what came of it.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tertulia::{
    client::check::{CheckOptions, check},
    crypto::{Keyring, KeyringOptions, MasterKeyHex},
    tasks::{self, TaskKind},
};
use tokio_postgres::{Client, NoTls};

use crate::{
    caller::{User, number},
    sandbox::Sandbox,
    store,
};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const IV: &str = "0102030405060708090a0b0c0d0e0f10";
/// Rooms of the tables: ten groups that are much alike, and the odd ones.
const ROOMS: u64 = 17;

const TABLES: &str = "
CREATE TABLE room (id uuid PRIMARY KEY, name varchar(255), type varchar(50), created_at timestamp,
    updated_at timestamp, deleted_at timestamp, encryption_data text, send_message boolean DEFAULT true,
    join_all_user boolean DEFAULT false, color text);
CREATE TABLE room_member (id serial PRIMARY KEY, room_id uuid, user_id integer, role varchar(50),
    created_at timestamp, removed_at timestamp, is_pinned boolean DEFAULT false, is_muted boolean DEFAULT false,
    is_partner_blocked boolean DEFAULT false);
CREATE TABLE room_message (id uuid PRIMARY KEY, room_id uuid, sender_id integer, content text,
    type varchar(50) DEFAULT 'user_message', sender_message_id text, reply_id uuid, created_at timestamp,
    updated_at timestamp, is_edited boolean DEFAULT false, deleted_at timestamp, mood text);
CREATE TABLE room_message_reaction (message_id uuid, user_id integer, reaction text, created_at timestamp);
CREATE TABLE room_message_meta (message_id uuid, user_id integer, read_at timestamp);
CREATE TABLE room_template (id integer);
CREATE FUNCTION rid(n integer) RETURNS uuid LANGUAGE sql AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION mid(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT md5('m' || n)::uuid $$;
";

/// Twenty messages share a moment, two of them a room; the moments go over the turn of the year 2024, when ids begin. One
/// room has several pages.
const ROWS: &str = "
INSERT INTO room (id, name, type, created_at, color)
    SELECT rid(g), 'room ' || g, 'group', '2023-12-25', CASE g WHEN 1 THEN 'red' END FROM generate_series(1, 10) g;
INSERT INTO room_member (room_id, user_id, role, created_at, removed_at)
    SELECT rid(r), u, CASE u WHEN 1 THEN 'OWNER' WHEN 2 THEN 'admin' ELSE 'MEMBER' END,
        CASE u WHEN 5 THEN timestamp '2023-12-28' ELSE '2023-12-25' END,
        CASE u WHEN 6 THEN timestamp '2023-12-30' END
    FROM generate_series(1, 10) r, generate_series(1, 6) u;
INSERT INTO room_message (id, room_id, sender_id, content, sender_message_id, reply_id, created_at, updated_at,
        is_edited, deleted_at)
    SELECT mid(g), rid(1 + g % 10), 1 + (g / 10) % 6, 'text ' || g, 'c' || g,
        CASE WHEN g % 11 = 0 THEN mid(g - 10) END, timestamp '2023-12-25' + (g / 20) * interval '2 hours',
        timestamp '2024-02-01', g % 37 = 0, CASE WHEN g % 50 = 0 THEN timestamp '2024-02-02' END
    FROM generate_series(11, 3000) g;
INSERT INTO room_message (id, room_id, sender_id, content, created_at)
    SELECT mid(g), rid(10), 1 + g % 3, 'text ' || g, timestamp '2024-01-10' + g * interval '1 minute'
    FROM generate_series(3001, 5000) g;
INSERT INTO room_message_reaction
    SELECT mid(g), u, '👍', '2024-01-20' FROM generate_series(25, 3000, 50) g, generate_series(2, 3) u;
";

const ODD: &str = "
UPDATE room_message SET sender_id = 77 WHERE id IN (mid(502), mid(512));
UPDATE room_message SET reply_id = gen_random_uuid() WHERE id = mid(501);
UPDATE room_message SET sender_message_id = 'c600' WHERE id = mid(660);
UPDATE room_message SET created_at = NULL WHERE id = mid(42);
UPDATE room_message SET sender_id = 0 WHERE id = mid(43);
UPDATE room_message SET type = 'system_message' WHERE id = mid(44);
UPDATE room_message SET content = '' WHERE id = mid(45);
UPDATE room_message SET mood = 'happy' WHERE id = mid(46);
UPDATE room_message SET created_at = '2999-01-01' WHERE id = mid(47);
INSERT INTO room_message_reaction VALUES (mid(25), 2, '👍', NULL), (mid(25), 0, '👍', NULL);
INSERT INTO room_message (id, room_id, sender_id, content, created_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), 1, 'nowhere', '2024-01-01');
INSERT INTO room_member (room_id, user_id, role, created_at, is_pinned, is_muted)
    VALUES (rid(1), 8, 'boss', '2023-12-25', true, true), (rid(1), 0, 'MEMBER', NULL, false, false),
        (rid(2), 6, 'MEMBER', '2024-01-05', false, false);
INSERT INTO room_message_meta SELECT id, 8, now() FROM room_message
    WHERE room_id = rid(1) AND created_at <= '2024-01-01';
INSERT INTO room (id, name, type, created_at, deleted_at) VALUES
    (rid(11), NULL, 'p2p', '2024-01-01', NULL), (rid(12), NULL, 'p2p', '2024-01-02', NULL),
    (rid(13), 'the club', 'club', '2024-01-01', NULL), (rid(14), 'gone', 'group', '2024-01-01', '2024-01-09'),
    (rid(15), NULL, 'channel', NULL, NULL), (rid(16), 'three', 'p2p', '2024-01-01', NULL);
INSERT INTO room_member (room_id, user_id, role, created_at, is_partner_blocked) VALUES
    (rid(11), 1, 'OWNER', '2024-01-01', false), (rid(11), 2, 'MEMBER', '2024-01-01', true),
    (rid(12), 2, 'OWNER', '2024-01-02', false), (rid(12), 1, 'MEMBER', '2024-01-02', false),
    (rid(13), 3, 'MEMBER', '2024-01-02', false), (rid(13), 4, 'ADMIN', '2024-01-03', false),
    (rid(14), 1, 'OWNER', '2024-01-01', false), (rid(16), 1, 'OWNER', '2024-01-01', false),
    (rid(16), 2, 'MEMBER', '2024-01-01', false), (rid(16), 3, 'MEMBER', '2024-01-01', false);
INSERT INTO room_message (id, room_id, sender_id, content, created_at) VALUES
    (gen_random_uuid(), rid(11), 1, 'hola', '2024-01-01 10:00'), (gen_random_uuid(), rid(12), 2, 'otra vez', '2024-01-02'),
    (gen_random_uuid(), rid(14), 1, 'adiós', '2024-01-08');
";

/// The rules that these rows call for.
const RULES: [&str; 19] = [
    "room.color: not brought",
    "room.type: unknown",
    "room: p2p without exactly two members",
    "room: the pair has an older p2p room",
    "room: without a name",
    "room: no OWNER",
    "room: nobody was ever in it",
    "room_member.role: unknown",
    "room_member.user_id: nobody",
    "room_member: several rows of one user",
    "room_message.content: does not decrypt",
    "room_message.content: empty",
    "room_message.created_at: lies ahead",
    "room_message.created_at: none",
    "room_message.mood: no place of its own",
    "room_message.sender_id: nobody",
    "room_message.sender_message_id: used twice",
    "room_message: answers a message that is not in the room",
    "room_message_reaction: the same twice",
];

/// The tables, in a schema of their own.
struct Tables {
    client: Client,
    schema: String,
    url: String,
}

impl Tables {
    async fn make(name: &str) -> Option<Self> {
        let Ok(url) = std::env::var("TERTULIA_TEST_POSTGRES") else {
            eprintln!("SKIPPED: TERTULIA_TEST_POSTGRES is not set");
            return None;
        };
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        drop(tasks::spawn(TaskKind::Connection, connection));
        let schema = format!("relational_{name}_{}", std::process::id());
        client.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await.unwrap();
        for sql in [TABLES, ROWS, ODD] {
            client.batch_execute(sql).await.unwrap();
        }
        let url = format!("{url}?schema={schema}");
        let tables = Self { client, schema, url };
        tables.encrypted_room().await;
        Some(tables)
    }

    /// A room as clients with the product's keys left it, and one message that is not what it should be.
    async fn encrypted_room(&self) {
        let master = MasterKeyHex { id: 1, key: KEY.to_owned().into(), iv: IV.to_owned().into() };
        let keyring = Keyring::new(&KeyringOptions::new(master)).unwrap();
        let key = keyring.new_room_key(b"there");
        let sql = format!(
            "INSERT INTO room (id, name, type, created_at, encryption_data)
                 VALUES (rid(17), 'secret', 'group', '2024-01-01', '{}');
             INSERT INTO room_member (room_id, user_id, role, created_at)
                 VALUES (rid(17), 1, 'OWNER', '2024-01-01'), (rid(17), 2, 'MEMBER', '2024-01-01');
             INSERT INTO room_message (id, room_id, sender_id, content, created_at) VALUES
                 (gen_random_uuid(), rid(17), 1, '{}', '2024-01-02'),
                 (gen_random_uuid(), rid(17), 2, 'never encrypted', '2024-01-03')",
            keyring.wrap(&key),
            key.encrypt("el tesoro está en la isla".as_bytes()),
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Ids of a room's messages in their order; none for those that were deleted, of which nothing is shown.
    async fn messages(&self, room: i32) -> Vec<Option<String>> {
        let sql = "SELECT CASE WHEN deleted_at IS NULL THEN id::text END FROM room_message WHERE room_id = rid($1) ORDER BY created_at NULLS FIRST, id";
        self.client.query(sql, &[&room]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn forget(self) {
        let sql = format!("SET client_min_messages = warning; DROP SCHEMA {} CASCADE", self.schema);
        self.client.batch_execute(&sql).await.unwrap();
    }
}

fn import(sandbox: &Sandbox, tables: &Tables, more: &[&str]) -> Command {
    let config = sandbox.config();
    let dir = config.server.data_dir.to_str().unwrap();
    let to = match store::name() {
        "embedded" => format!("embedded:{dir}"),
        "scylla" => format!("scylla://{}/{}", config.scylla.hosts[0], config.scylla.keyspace),
        _ => {
            let (url, _) = tables.url.split_once('?').unwrap();
            format!("{url}?schema={}", config.postgres.schema)
        }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    command.args(["import", "relational", "--json", "--from", &tables.url, "--to", &to, "--data-dir", dir]).args(more);
    for set in [format!("encryption.key={KEY}"), format!("encryption.iv={IV}")] {
        command.args(["--set", &set]);
    }
    command.env_remove("POSTGRES_HOST").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn imported(sandbox: &Sandbox, tables: &Tables) -> Value {
    let output = import(sandbox, tables, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn room(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

async fn history(user: &User, room: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |message| number(message, "/seq"));
        let request = json!({"room_id": room, "after_seq": after, "limit": 200});
        let page = user.ok("GetMessageHistory", request).await;
        let messages = page["messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return all;
        }
        all.extend(messages);
    }
}

/// The history checker finds nothing; returns how many messages there are.
async fn checked(sandbox: &Sandbox) -> i64 {
    let token = sandbox.mint(9_999, true, Duration::from_secs(600), 0);
    let report = check(CheckOptions::new(format!("http://{}", sandbox.addr()), token)).await.unwrap();
    assert!(report.ok, "{report}");
    report.messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_over_once_however_often_it_is_killed() {
    let Some(tables) = Tables::make("all").await else { return };
    let mut sandbox = Sandbox::with(&[("encryption.key", KEY), ("encryption.iv", IV)]).await;
    sandbox.stop().await;
    let mut kills = 0;
    // A busy machine takes a second to come to the first row.
    for after_ms in [2_000, 3_500, 3_500] {
        let mut child = import(&sandbox, &tables, &["--rows-per-s", "400"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 2, "it was too fast to be killed more than {kills} times");
    let report = imported(&sandbox, &tables);
    let all = tables.count("SELECT count(*) FROM room_message m JOIN room r ON r.id = m.room_id").await;
    assert_eq!(report["rooms"], ROOMS);
    assert!(number(&report, "/messages_before") > 0, "the kills came before anything was written: {report}");
    let again = imported(&sandbox, &tables);
    assert_eq!((&again["rooms_unchanged"], &again["messages"]), (&json!(ROOMS), &json!(0)), "{again}");

    sandbox.start_again().await;
    assert_eq!(checked(&sandbox).await, all);
    let ana = sandbox.user(1);
    for number in 1..=10_u32 {
        let there = history(&ana, &room(number)).await;
        let id = |message: &Value| message["external_ref"]["message"].as_str().map(str::to_owned);
        let ids: Vec<_> = there.iter().map(id).collect();
        assert_eq!(ids, tables.messages(i32::try_from(number).unwrap()).await, "room {number}");
    }
    let unread = "SELECT count(*) FROM room_message
        WHERE room_id = rid(1) AND created_at > '2024-01-01' AND deleted_at IS NULL";
    let told = tables.count(unread).await;
    let list = sandbox.user(8).ok("GetRooms", json!({})).await;
    assert_eq!(number(&list, "/rooms/0/unread_count"), told, "{list}");
    assert_eq!(list["rooms"][0]["preferences"]["pinned"], true, "{list}");
    // A message that came later there.
    sandbox.stop().await;
    let later = "INSERT INTO room_message (id, room_id, sender_id, content, created_at)
        VALUES (gen_random_uuid(), rid(3), 6, 'late', '2024-03-01')";
    tables.client.batch_execute(later).await.unwrap();
    let more = imported(&sandbox, &tables);
    assert_eq!((&more["rooms_unchanged"], &more["messages"]), (&json!(ROOMS - 1), &json!(1)), "{more}");
    sandbox.start_again().await;
    assert_eq!(checked(&sandbox).await, all + 1);
    tables.forget().await;
}

async fn odd_rows_follow_the_rules(tables: &Tables, sandbox: &Sandbox, report: &Value) {
    let rules: Vec<_> = report["odd"].as_array().unwrap().iter().map(|odd| odd["rule"].as_str().unwrap()).collect();
    for rule in RULES {
        assert!(rules.iter().any(|found| found.starts_with(rule)), "{rule}: {rules:#?}");
    }
    for rule in ["room_message: of no room", "table room_template: not known", "room_message: the sender was never"] {
        assert!(rules.iter().any(|found| found.starts_with(rule)), "{rule}: {rules:#?}");
    }
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let gone =
        tables.count("SELECT count(*) FROM room_message WHERE room_id = rid(1) AND deleted_at IS NOT NULL").await;
    let there = history(&ana, &room(1)).await;
    let deleted = there.iter().filter(|message| message["deleted"] == true);
    assert_eq!(deleted.clone().count(), usize::try_from(gone).unwrap());
    assert!(deleted.into_iter().all(|message| message["content"].as_str().is_none_or(str::is_empty)));
    let edited = there.iter().filter(|message| !message["edited_at"].is_null()).count();
    let told = "SELECT count(*) FROM room_message WHERE room_id = rid(1) AND is_edited AND deleted_at IS NULL";
    assert_eq!(edited, usize::try_from(tables.count(told).await).unwrap());
    let replies = there.iter().filter(|message| number(message, "/reply_to") != 0).count();
    assert!(replies > 5, "{replies}");
    let reacted = history(&ana, &room(6)).await.into_iter().filter(|message| message["reactions"][0]["count"] == 2);
    assert_eq!(reacted.count(), 60, "as many as there are multiples of 25 that are none of 50");
    let pair = ana.ok("CreateRoom", json!({"type": "p2p", "participants": [2]})).await;
    assert_eq!(pair["room"]["id"], room(11), "the older one is the pair's");
    let refused = ana.ask("SendMessage", json!({"room_id": room(11), "content": "x", "client_message_id": "x"})).await;
    assert!(refused.is_err(), "the other one has blocked");
    let secret = history(&ben, &room(17)).await;
    assert_eq!((&secret[0]["encrypted"], &secret[1]["content"]), (&json!(true), &json!("never encrypted")));
    let found = ben.ok("SearchMessages", json!({"room_id": room(17), "query": "tesoro"})).await;
    assert_eq!(found["messages"].as_array().map(Vec::len), Some(1), "the server reads what was encrypted: {found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_rows_are_brought_by_rule_and_named() {
    let Some(mut tables) = Tables::make("odd").await else { return };
    let mut sandbox = Sandbox::with(&[("encryption.key", KEY), ("encryption.iv", IV)]).await;
    sandbox.stop().await;
    let report = imported(&sandbox, &tables);
    sandbox.start_again().await;
    checked(&sandbox).await;
    odd_rows_follow_the_rules(&tables, &sandbox, &report).await;
    tables.client.batch_execute("ALTER TABLE room_message DROP COLUMN content").await.unwrap();
    tables.url.push_str("&connect_timeout_ms=5000");
    let output = import(&sandbox, &tables, &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("has no column room_message.content"), "{said}");
    tables.forget().await;
}
