//! The tables, read through PostgreSQL: whole rows as JSON, so that no column is missed and none has to be there.

use std::collections::{BTreeMap, HashMap};

use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, IsolationLevel, NoTls, Portal, Transaction};
use uuid::Uuid;

use super::{
    odd::Oddities,
    row::{Row, SourceMember, SourceMessage, SourceRoom},
};
use crate::{
    domain::ids::{RoomId, UserId},
    storage::postgres::PostgresOptions,
    tasks::{self, TaskKind},
};

/// Messages fetched at a time.
const PAGE: i32 = 500;
/// Tables that must be there.
const NEEDED: [&str; 3] = ["room", "room_member", "room_message"];
/// Tables that are read if they are there.
const REACTIONS: &str = "room_message_reaction";
const META: &str = "room_message_meta";

/// The tables cannot be read, or are not those that are expected.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// PostgreSQL refused or is away.
    #[error("PostgreSQL failed")]
    Database(#[from] tokio_postgres::Error),
    /// A row is no JSON object.
    #[error("a row cannot be read")]
    Row(#[from] serde_json::Error),
    /// A table or column is missing, or has another type.
    #[error("the schema {schema:?} has no {what}")]
    Missing {
        /// Where was looked.
        schema: String,
        /// What for.
        what: String,
    },
}

type Result<T> = std::result::Result<T, SourceError>;

/// A database with the tables.
#[derive(Debug)]
pub struct Source {
    options: PostgresOptions,
    /// Columns of each table of the schema, and whether they are times.
    tables: BTreeMap<String, BTreeMap<String, bool>>,
}

/// What members have read, and what they sent: the times of a sender's first and last message.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) sent: HashMap<UserId, (i64, i64)>,
    pub(super) read: HashMap<UserId, i64>,
}

impl Source {
    /// Connects and looks which tables and columns there are.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn open(options: PostgresOptions) -> Result<Self> {
        let mut source = Self { options, tables: BTreeMap::new() };
        let client = source.connect().await?;
        let sql = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
                   WHERE table_schema = $1";
        for row in client.query(sql, &[&source.options.schema]).await? {
            let (table, column, kind): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let is_time = kind.starts_with("timestamp") || kind == "date";
            source.tables.entry(table).or_default().insert(column, is_time);
        }
        source.check()?;
        Ok(source)
    }

    fn check(&self) -> Result<()> {
        let missing = |what: String| Err(SourceError::Missing { schema: self.options.schema.clone(), what });
        for table in NEEDED {
            if !self.tables.contains_key(table) {
                return missing(format!("table {table}"));
            }
        }
        for (table, column) in [
            ("room", "id"),
            ("room_member", "room_id"),
            ("room_member", "user_id"),
            ("room_message", "id"),
            ("room_message", "room_id"),
            ("room_message", "sender_id"),
            ("room_message", "content"),
        ] {
            if !self.has(table, column) {
                return missing(format!("column {table}.{column}"));
            }
        }
        if self.tables["room_message"].get("created_at") != Some(&true) {
            return missing("column room_message.created_at that is a time".to_owned());
        }
        Ok(())
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|columns| columns.contains_key(column))
    }

    /// A connection of its own, which can only read.
    pub(super) async fn connect(&self) -> Result<Client> {
        let options = &self.options;
        let mut config = tokio_postgres::Config::new();
        config.host(&options.host).port(options.port).user(&options.user).dbname(&options.database);
        config.application_name("tertulia import").connect_timeout(options.connect_timeout);
        if let Some(password) = &options.password {
            config.password(password.expose_secret());
        }
        let (client, connection) = config.connect(NoTls).await?;
        // Ends with the client.
        tasks::spawn(TaskKind::Connection, connection);
        let schema = options.schema.replace('"', "\"\"");
        let session =
            format!("SET TimeZone = 'UTC'; SET default_transaction_read_only = on; SET search_path = \"{schema}\"");
        client.batch_execute(&session).await?;
        Ok(client)
    }

    /// A row of `table` (as `t`) as JSON, with times as milliseconds. Times without a zone are taken as UTC.
    fn as_json(&self, table: &str) -> String {
        let times = self.tables.get(table).into_iter().flatten().filter(|(_, is_time)| **is_time);
        let times: Vec<_> = times
            .map(|(column, _)| {
                let (name, column) = (column.replace('\'', "''"), column.replace('"', "\"\""));
                let ms = format!("floor(extract(epoch FROM t.\"{column}\") * 1000)::bigint");
                // What lies beyond, infinity too, is no time that a client can be told.
                let is_told = format!("t.\"{column}\" BETWEEN '0001-01-01' AND '9999-12-31'");
                format!("'{name}', CASE WHEN {is_told} THEN {ms} END")
            })
            .collect();
        format!("(to_jsonb(t) || jsonb_build_object({}))::text", times.join(", "))
    }

    /// All rooms, the oldest first: of two p2p rooms of one pair, the older one keeps the pair.
    pub(super) async fn rooms(&self, odd: &Oddities) -> Result<Vec<SourceRoom>> {
        let client = self.connect().await?;
        let order = if self.has("room", "created_at") { "t.created_at NULLS FIRST, t.id" } else { "t.id" };
        let sql = format!("SELECT {} FROM room t ORDER BY {order}", self.as_json("room"));
        let rows = client.query(&sql, &[]).await?;
        let mut rooms = Vec::with_capacity(rows.len());
        for row in rows {
            rooms.extend(SourceRoom::read(Row::parse(row.try_get(0)?)?, odd));
        }
        Ok(rooms)
    }

    /// Counts what hangs on no room, and tables that are not read.
    pub(super) async fn note_strangers(&self, odd: &Oddities) -> Result<()> {
        let client = self.connect().await?;
        for table in ["room_member", "room_message"] {
            let sql = format!(
                "SELECT count(*), min(t.id::text) FROM {table} t LEFT JOIN room r ON r.id = t.room_id WHERE r.id IS NULL"
            );
            let sql = if self.has(table, "id") { sql } else { sql.replace("min(t.id::text)", "min(t.room_id::text)") };
            let row = client.query_one(&sql, &[]).await?;
            let (count, first): (i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
            if count > 0 {
                let times = u64::try_from(count).unwrap_or_default();
                odd.add_many(format!("{table}: of no room; not brought"), times, first.unwrap_or_default());
            }
        }
        for table in self.tables.keys().filter(|table| table.starts_with("room")) {
            let is_read = NEEDED.contains(&table.as_str()) || table == REACTIONS || table == META;
            if !is_read {
                odd.add(format!("table {table}: not known; not brought"), &self.options.schema);
            }
        }
        Ok(())
    }
}

/// One room in one snapshot of the tables.
pub(super) struct RoomReader<'a> {
    source: &'a Source,
    txn: Transaction<'a>,
    id: Uuid,
    messages: Option<Portal>,
}

impl<'a> RoomReader<'a> {
    pub(super) async fn begin(source: &'a Source, client: &'a mut Client, room: RoomId) -> Result<Self> {
        let txn = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        Ok(Self { source, txn: txn.start().await?, id: Uuid::from_bytes(room.0), messages: None })
    }

    /// How many rows belong to the room.
    pub(super) async fn count(&self) -> Result<u64> {
        let mut sql = "SELECT (SELECT count(*) FROM room_message WHERE room_id = $1)
            + (SELECT count(*) FROM room_member WHERE room_id = $1)"
            .to_owned();
        if self.source.tables.contains_key(REACTIONS) {
            sql += " + (SELECT count(*) FROM room_message_reaction x JOIN room_message m ON m.id = x.message_id
                WHERE m.room_id = $1)";
        }
        let count: i64 = self.txn.query_one(&sql, &[&self.id]).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// All rows of members, in the order in which they were made as far as that is known.
    pub(super) async fn members(&self, odd: &Oddities) -> Result<Vec<SourceMember>> {
        let order = if self.source.has("room_member", "id") { "t.id" } else { "t.user_id" };
        let json = self.source.as_json("room_member");
        let sql = format!("SELECT {json} FROM room_member t WHERE t.room_id = $1 ORDER BY {order}");
        let mut members = Vec::new();
        for row in self.txn.query(&sql, &[&self.id]).await? {
            members.extend(SourceMember::read(Row::parse(row.try_get(0)?)?, RoomId(*self.id.as_bytes()), odd));
        }
        Ok(members)
    }

    pub(super) async fn times(&self) -> Result<Times> {
        let ms = |what: &str| format!("floor(extract(epoch FROM {what}) * 1000)::bigint");
        let sql = format!(
            "SELECT sender_id::bigint, {}, {} FROM room_message
             WHERE room_id = $1 AND sender_id > 0 AND isfinite(created_at) GROUP BY sender_id",
            ms("min(created_at)"),
            ms("max(created_at)")
        );
        let mut times = Times::default();
        for row in self.txn.query(&sql, &[&self.id]).await? {
            times.sent.insert(UserId(row.try_get(0)?), (row.try_get(1)?, row.try_get(2)?));
        }
        let is_read = ["read_at IS NOT NULL", "is_read", "isread"]
            .into_iter()
            .find(|read| self.source.has(META, read.split(' ').next().unwrap_or_default()));
        if let Some(is_read) = is_read {
            let sql = format!(
                "SELECT x.user_id::bigint, {} FROM room_message_meta x JOIN room_message m ON m.id = x.message_id
                 WHERE m.room_id = $1 AND x.{is_read} AND x.user_id > 0 AND isfinite(m.created_at) GROUP BY x.user_id",
                ms("max(m.created_at)")
            );
            for row in self.txn.query(&sql, &[&self.id]).await? {
                times.read.insert(UserId(row.try_get(0)?), row.try_get(1)?);
            }
        }
        Ok(times)
    }

    /// The next messages in the order of time and id; none at the end.
    pub(super) async fn messages(&mut self) -> Result<Vec<SourceMessage>> {
        if self.messages.is_none() {
            let json = self.source.as_json("room_message");
            let sql = format!(
                "SELECT {json} FROM room_message t WHERE t.room_id = $1 ORDER BY t.created_at NULLS FIRST, t.id"
            );
            self.messages = Some(self.txn.bind(&sql, &[&self.id]).await?);
        }
        let Some(portal) = &self.messages else { return Ok(Vec::new()) };
        let rows = self.txn.query_portal(portal, PAGE).await?;
        rows.iter().map(|row| Ok(SourceMessage::read(Row::parse(row.try_get(0)?)?))).collect()
    }

    /// Reactions to these messages: (user, reaction, time) by message.
    pub(super) async fn reactions(
        &self,
        messages: &[SourceMessage],
    ) -> Result<HashMap<String, Vec<(UserId, String, Option<i64>)>>> {
        let mut found: HashMap<String, Vec<_>> = HashMap::new();
        if !self.source.tables.contains_key(REACTIONS) {
            return Ok(found);
        }
        let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
        let json = self.source.as_json(REACTIONS);
        // As text: the type of the ids is the source's matter.
        let sql = format!("SELECT {json} FROM room_message_reaction t WHERE t.message_id::text = ANY($1) ORDER BY 1");
        for row in self.txn.query(&sql, &[&ids]).await? {
            let mut row = Row::parse(row.try_get(0)?)?;
            let Some(message) = row.text(&["message_id"]) else { continue };
            let user = UserId(row.number(&["user_id", "reacted_by_id"]).unwrap_or_default());
            let reaction = row.text(&["reaction", "emoji"]).unwrap_or_default();
            found.entry(message).or_default().push((user, reaction, row.number(&["created_at"])));
        }
        Ok(found)
    }
}
