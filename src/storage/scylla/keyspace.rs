//! The keyspace: made when it is missing, and refused when it cannot keep the store's promises.

use std::{collections::HashMap, time::Duration};

use backon::{ConstantBuilder, Retryable as _};

use super::{
    error,
    migrate::change,
    options::{Options, Replication, StoreConsistency},
    session::Database,
};
use crate::storage::{Result, StoreError, StoreErrorKind};

const OP: &str = "open";
/// Pause between two attempts to use a keyspace, and how many more there are.
const MADE_EVERY: Duration = Duration::from_millis(200);
/// See above.
const MADE_LOOKS: usize = 25;

/// Creates the keyspace if it is missing, checks it, and uses it. Says how many replicas confirm a write in it.
///
/// # Errors
/// `Invalid` with the reason: it is missing and may not be created, its replication does not fit the consistency, or
/// lightweight transactions cannot be used in it.
pub(super) async fn prepare(database: &Database, options: &Options) -> Result<u32> {
    let mut replication = replication(database, &options.keyspace).await?;
    if replication.is_none() {
        let Some(wanted) = &options.create_keyspace else {
            return Err(error::invalid(OP, "the keyspace does not exist"));
        };
        create(database, &options.keyspace, wanted).await?;
        replication = self::replication(database, &options.keyspace).await?;
    }
    let replication = replication.ok_or_else(|| error::invalid(OP, "the keyspace does not exist"))?;
    let confirming = judge(&replication, options).map_err(|why| error::invalid(OP, why))?;
    // A keyspace that another node is just making is in the system's tables a moment before it can be used.
    (|| database.session().use_keyspace(&options.keyspace, false))
        .retry(ConstantBuilder::default().with_delay(MADE_EVERY).with_max_times(MADE_LOOKS))
        .await
        .map_err(|source| StoreError::because(StoreErrorKind::Unavailable, OP, source))?;
    Ok(confirming)
}

async fn replication(database: &Database, keyspace: &str) -> Result<Option<HashMap<String, String>>> {
    let select = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let name = keyspace.to_ascii_lowercase();
    let result = database.session().query_unpaged(select, (name,)).await.map_err(|source| error::driver(OP, source))?;
    let rows = result.into_rows_result().map_err(|source| error::corrupt(OP, source))?;
    let row = rows.maybe_first_row::<(HashMap<String, String>,)>().map_err(|source| error::corrupt(OP, source))?;
    Ok(row.map(|(replication,)| replication))
}

/// Whether the database knows tablets: only ScyllaDB does, and only there the keyspace can say that it wants none.
async fn knows_tablets(database: &Database) -> bool {
    let select =
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = 'tablets'";
    let Ok(result) = database.session().query_unpaged(select, ()).await else { return false };
    result.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0)
}

async fn create(database: &Database, keyspace: &str, wanted: &Replication) -> Result<()> {
    let replication = match wanted {
        Replication::Simple(copies) => format!("'class': 'SimpleStrategy', 'replication_factor': {copies}"),
        Replication::PerDatacenter(copies) => {
            let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
            if copies.is_empty() || !copies.iter().all(|(name, _)| is_name(name)) {
                return Err(error::invalid(OP, "names of datacenters are letters, digits, hyphens and underscores"));
            }
            let each: Vec<_> = copies.iter().map(|(name, copies)| format!("'{name}': {copies}")).collect();
            format!("'class': 'NetworkTopologyStrategy', {}", each.join(", "))
        }
    };
    let tablets = if knows_tablets(database).await { " AND tablets = {'enabled': false}" } else { "" };
    let statement = format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{{replication}}} AND durable_writes = true{tablets}"
    );
    change(database, statement).await
}

/// All copies; behind a slash Cassandra says how many of them are transient.
fn copies_of(copies: &str) -> std::result::Result<u32, std::num::ParseIntError> {
    copies.split('/').next().unwrap_or_default().parse()
}

/// Whether a keyspace that is replicated like this keeps what the store promises; if so, how many replicas confirm a
/// write.
fn judge(replication: &HashMap<String, String>, options: &Options) -> std::result::Result<u32, &'static str> {
    let class = replication.get("class").map_or("", String::as_str);
    let copies = replication
        .iter()
        .filter(|(key, _)| *key != "class")
        .map(|(_, copies)| copies_of(copies))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| "the keyspace's replication cannot be read")?;
    let all: u32 = copies.iter().sum();
    if class.ends_with("LocalStrategy") || class.ends_with("EverywhereStrategy") {
        return Err("the keyspace is not replicated by SimpleStrategy or NetworkTopologyStrategy");
    }
    if all == 0 {
        return Err("the keyspace has no copies");
    }
    match options.consistency {
        StoreConsistency::One if all > 1 => {
            Err("consistency ONE needs a keyspace with one copy: with more, a read may miss what a write confirmed")
        }
        StoreConsistency::LocalQuorum if class.ends_with("SimpleStrategy") && options.datacenter.is_some() => {
            Err("a datacenter is preferred, but SimpleStrategy knows none: use NetworkTopologyStrategy")
        }
        StoreConsistency::LocalQuorum if copies.len() > 1 && options.datacenter.is_none() => {
            Err("LOCAL_QUORUM in a keyspace of several datacenters needs the datacenter's name, the same on all nodes")
        }
        StoreConsistency::LocalQuorum => match &options.datacenter {
            Some(name) => match replication.get(name).map(|copies| copies_of(copies)) {
                Some(Ok(copies)) if copies > 0 => Ok(copies / 2 + 1),
                _ => Err("the keyspace has no copies in the datacenter"),
            },
            None => Ok(all / 2 + 1),
        },
        StoreConsistency::One => Ok(1),
        StoreConsistency::Quorum => Ok(all / 2 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirming(pairs: &[(&str, &str)], consistency: StoreConsistency, datacenter: Option<&str>) -> Option<u32> {
        let replication = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let datacenter = datacenter.map(str::to_owned);
        judge(&replication, &Options { consistency, datacenter, ..Options::default() }).ok()
    }

    #[test]
    fn replication_must_fit_the_consistency() {
        use StoreConsistency::{LocalQuorum, One, Quorum};
        let class = "org.apache.cassandra.locator.";
        let simple =
            |copies| vec![("class", "org.apache.cassandra.locator.SimpleStrategy"), ("replication_factor", copies)];
        let network = format!("{class}NetworkTopologyStrategy");
        let two = [("class", network.as_str()), ("a", "3"), ("b", "3")];
        assert_eq!(confirming(&simple("1"), One, None), Some(1));
        assert_eq!(confirming(&simple("3"), One, None), None);
        assert_eq!(confirming(&simple("3"), LocalQuorum, None), Some(2));
        assert_eq!(confirming(&simple("0"), LocalQuorum, None), None);
        assert_eq!(confirming(&simple("x"), LocalQuorum, None), None);
        assert_eq!(confirming(&two, LocalQuorum, None), None);
        assert_eq!(confirming(&two, LocalQuorum, Some("a")), Some(2));
        assert_eq!(confirming(&two, LocalQuorum, Some("c")), None);
        assert_eq!(confirming(&two, Quorum, None), Some(4));
        assert_eq!(confirming(&[("class", "org.apache.cassandra.locator.LocalStrategy")], Quorum, None), None);
    }
}
