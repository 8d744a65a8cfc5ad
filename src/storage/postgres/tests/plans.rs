//! Every statement over a million rows: the server explains how it would find them.

use serde_json::Value;

use super::*;
use crate::storage::postgres::statements::{self, ALL};

/// Rows of the three large tables; a quarter of it rooms, a twentieth of everything else.
const ROWS: i64 = 1_000_000;

/// Fills the large tables without a client sending rows. No index is left out: what is measured is not how fast.
const FILL: &str = "
    SET LOCAL synchronous_commit = off;
    CREATE FUNCTION a_room(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
        $$ SELECT md5(n::text)::uuid $$;
    INSERT INTO room_control (room, epoch, active, appended, seq)
        SELECT a_room(n), 1, n % 100 = 0, true, 100 FROM generate_series(1, $rows / 4) n;
    INSERT INTO room (room, settings) SELECT a_room(n), 'x' FROM generate_series(1, $rows / 4) n;
    INSERT INTO room_log (room, seq, n, epoch, kind, actor, at_ms, message_id, client_id, client_first,
                          ext_source, ext_chat, ext_message, body)
        SELECT a_room(n / 100), n % 100, n, 1, 1, n % 1000, n, n, int8send(n), true, int8send(n), 'c', 'm', 'body'
        FROM generate_series(1, $rows) n;
    INSERT INTO membership (room, user_id, body, room_type, partner)
        SELECT a_room(n / 20), n / 400 + n % 20, 'm', 2, 0 FROM generate_series(1, $rows) n;
    INSERT INTO room_position SELECT a_room(n / 20), n % 20, 1, 1, 1, 1, 1, 1 FROM generate_series(1, $rows) n;
    INSERT INTO reaction SELECT a_room(n / 50), n % 50, n, '+' FROM generate_series(1, $rows / 20) n;
    INSERT INTO message_state SELECT a_room(n / 50), n % 50, 's' FROM generate_series(1, $rows / 20) n;
    INSERT INTO pin SELECT a_room(n / 5), n % 5, n FROM generate_series(1, $rows / 20) n;
    INSERT INTO p2p_room SELECT n, n + 1, a_room(n) FROM generate_series(1, $rows / 20) n;
    INSERT INTO sync_state SELECT a_room(n), 's', 'b' FROM generate_series(1, $rows / 20) n;
    INSERT INTO join_job SELECT a_room(n), 'b' FROM generate_series(1, $rows / 20) n;
    INSERT INTO hidden_message SELECT n / 50, a_room(n / 5), n % 5 FROM generate_series(1, $rows / 20) n;
    INSERT INTO profile SELECT n, 'p' FROM generate_series(1, $rows / 20) n;
    INSERT INTO user_block SELECT n / 10, n FROM generate_series(1, $rows / 20) n;
    INSERT INTO device SELECT n / 2, int8send(n), sha256(int8send(n)), 'd' FROM generate_series(1, $rows / 20) n;
    INSERT INTO log_cursor SELECT a_room(n), 'outbox', 1 FROM generate_series(1, $rows / 20) n;
    ANALYZE;
";

/// What a plan reads: the kind of each node that touches a table, and its index if it has one.
fn scans(plan: &Value, found: &mut Vec<(String, Option<String>)>) {
    let text = |key: &str| plan[key].as_str().map(str::to_owned);
    if let Some(node) = text("Node Type") {
        let is_scan = plan.get("Relation Name").is_some() && node.ends_with("Scan");
        if is_scan || plan.get("Index Name").is_some() {
            found.push((node, text("Index Name")));
        }
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        scans(part, found);
    }
}

/// The plan that the session uses for a statement, whatever its parameters.
async fn explain(client: &deadpool_postgres::Object, name: &str, statement: &Statement) -> Value {
    let prepared = client.prepare(statement.sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let nulls = vec!["NULL"; prepared.params().len()].join(", ");
    let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
    let sql = format!(
        "DEALLOCATE ALL; PREPARE explained AS {}; EXPLAIN (FORMAT JSON) EXECUTE explained{arguments}",
        statement.sql
    );
    let answers = client.simple_query(&sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let text = answers.iter().find_map(|answer| match answer {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    serde_json::from_str(text.expect("a plan")).expect("a plan is JSON")
}

/// What is wrong with the plan of a statement.
fn wrong(name: &str, statement: &Statement, plan: &Value) -> Vec<String> {
    let mut found = Vec::new();
    scans(&plan[0]["Plan"], &mut found);
    let is_listed = |index: &Option<String>| index.as_deref().is_some_and(|index| statement.indexes.contains(&index));
    let unlisted = found.iter().filter(|(_, index)| !is_listed(index));
    let mut wrong: Vec<String> = unlisted
        .map(|(node, index)| format!("{name}: {node} {}", index.as_deref().unwrap_or("without an index")))
        .collect();
    if found.is_empty() && !statement.indexes.is_empty() {
        wrong.push(format!("{name}: uses no index"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_has_its_index() {
    let (store, _guard) = or_skip!(open());
    // As on the day of the first start, and with a million rows.
    for rows in [0, ROWS] {
        let client = store.db.client().await.unwrap();
        if rows > 0 {
            client.batch_execute(&FILL.replace("$rows", &rows.to_string())).await.unwrap();
        }
        let mut found = Vec::new();
        for (name, statement) in ALL {
            found.extend(wrong(name, statement, &explain(&client, name, statement).await));
        }
        assert!(found.is_empty(), "with {rows} rows:\n{}", found.join("\n"));
    }
}

/// The test can fail: a statement without an index is found.
#[tokio::test]
async fn a_statement_without_an_index_is_found() {
    let (store, _guard) = or_skip!(open());
    let client = store.db.client().await.unwrap();
    let missing = Statement { sql: "SELECT room FROM room_control WHERE seq = $1", indexes: &[] };
    let plan = explain(&client, "missing", &missing).await;
    assert_eq!(wrong("missing", &missing, &plan), ["missing: Seq Scan without an index"]);
    let other = Statement { indexes: &["room_pkey"], ..statements::HEAD };
    assert_eq!(wrong("other", &other, &explain(&client, "other", &other).await).len(), 1);
}
