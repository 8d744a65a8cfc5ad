//! What an acknowledgement of this database has survived.
//!
//! A node that syncs its commit log by timer answers before that: of the last moments before it dies it may have
//! nothing, though its process alone was killed. With several copies the others have them; with one nobody has.

use scylla::{
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::{Consistency, unprepared::Statement},
};

use super::session::Database;
use crate::storage::Durability;

/// Where a node says how it syncs: Cassandra, ScyllaDB.
const SETTINGS: [&str; 2] = [
    "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'",
    "SELECT value FROM system.config WHERE name = 'commitlog_sync'",
];

/// What writes are worth that so many replicas confirm.
pub(super) async fn promised(database: &Database, confirming: u32) -> Durability {
    if confirming > 1 {
        return Durability::Synced;
    }
    for node in database.session().get_cluster_state().get_nodes_info() {
        let mode = commit_log(database, NodeIdentifier::Node(node.clone())).await;
        if !waits_for_disk(mode.as_deref()) {
            tracing::warn!(
                node = %node.address,
                mode = mode.as_deref().unwrap_or("unknown"),
                "one copy, and its commit log does not wait for the disk: what was acknowledged last may be lost when \
                 the database node dies"
            );
            return Durability::Buffered;
        }
    }
    Durability::Synced
}

/// Whether a node with this `commitlog_sync` answers after the sync alone.
fn waits_for_disk(mode: Option<&str>) -> bool {
    matches!(mode, Some("batch" | "group"))
}

/// A node's `commitlog_sync`; none if it does not say.
async fn commit_log(database: &Database, node: NodeIdentifier) -> Option<String> {
    for select in SETTINGS {
        let mut statement = Statement::new(select);
        statement.set_consistency(Consistency::One);
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node.clone(), None)));
        // The other database does not know the table.
        let Ok(answer) = database.session().query_unpaged(statement, ()).await else { continue };
        let row = answer.into_rows_result().ok().and_then(|rows| rows.maybe_first_row::<(Option<String>,)>().ok());
        if let Some((Some(value),)) = row.flatten() {
            return Some(value.trim_matches('"').to_ascii_lowercase());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_is_not_known_promises_nothing() {
        assert!(waits_for_disk(Some("batch")) && waits_for_disk(Some("group")));
        assert!(!waits_for_disk(Some("periodic")) && !waits_for_disk(None));
    }
}
