//! What a store is opened with, whether its place is configured or an address.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;
use crate::storage::embedded::{OpenOptions, SyncPolicy};
use crate::storage::postgres::PostgresOptions;
use crate::storage::scylla::{Options as ScyllaOptions, Replication, StoreConsistency};

/// Settings of every kind of store, none of them a default. The places are others than those of the addresses below.
const SETTINGS: &[(&str, &str)] = &[
    ("storage.fsync", "interval"),
    ("storage.fsync_interval_ms", "250"),
    ("storage.cache_mb", "9"),
    ("storage.worker_id", "7"),
    ("postgres.host", "elsewhere"),
    ("postgres.port", "1"),
    ("postgres.user", "somebody"),
    ("postgres.password", "configured"),
    ("postgres.database", "another"),
    ("postgres.schema", "another"),
    ("postgres.pool_size", "33"),
    ("postgres.append_lanes", "11"),
    ("postgres.connect_timeout_ms", "444"),
    ("postgres.statement_timeout_ms", "555"),
    ("scylla.hosts", "elsewhere"),
    ("scylla.keyspace", "another"),
    ("scylla.username", "somebody"),
    ("scylla.password", "configured"),
    ("scylla.datacenter", "south"),
    ("scylla.consistency", "QUORUM"),
    ("scylla.replication_factor", "3"),
    ("scylla.request_timeout_ms", "666"),
];

fn at(url: &str) -> Result<StoreOptions, ConfigError> {
    from_flags(SETTINGS).unwrap().store_at(&url.parse().unwrap())
}

fn embedded(url: &str) -> (PathBuf, OpenOptions) {
    let StoreOptions::Embedded { dir, options } = at(url).unwrap() else { panic!("{url} is an embedded store") };
    (dir, options)
}

fn postgres(url: &str) -> PostgresOptions {
    let StoreOptions::Postgres(options) = at(url).unwrap() else { panic!("{url} is a PostgreSQL") };
    options
}

fn scylla(url: &str) -> ScyllaOptions {
    let StoreOptions::Scylla(options) = at(url).unwrap() else { panic!("{url} is a ScyllaDB") };
    options
}

#[test]
fn an_embedded_store_at_an_address_is_opened_as_configured() {
    let (dir, options) = embedded("embedded:d");
    assert_eq!(dir, PathBuf::from("d/store"));
    assert_eq!(options.sync, SyncPolicy::Interval(Duration::from_millis(250)));
    assert_eq!(options.cache_bytes, 9 << 20);
    assert_eq!(embedded("embedded:d?fsync=always").1.sync, SyncPolicy::Always);
    let (_, options) = embedded("embedded:d?fsync_interval_ms=5&cache_mb=10");
    assert_eq!((options.sync, options.cache_bytes), (SyncPolicy::Interval(Duration::from_millis(5)), 10 << 20));
}

#[test]
fn a_postgres_at_an_address_is_opened_as_configured() {
    let options = postgres("postgres://ana:pw@h:5433/db?schema=s");
    assert_eq!((options.pool_size, options.append_lanes), (33, 11));
    assert_eq!(options.connect_timeout, Duration::from_millis(444));
    assert_eq!(options.statement_timeout, Duration::from_millis(555));
    assert_eq!((options.host.as_str(), options.port, options.user.as_str()), ("h", 5433, "ana"));
    assert_eq!((options.database.as_str(), options.schema.as_str()), ("db", "s"));
    assert_eq!(options.password.unwrap().expose_secret(), "pw");
    let own = "pool_size=5&append_lanes=2&connect_timeout_ms=20&statement_timeout_ms=30";
    let options = postgres(&format!("postgres://h/db?{own}"));
    assert_eq!((options.pool_size, options.append_lanes), (5, 2));
    assert_eq!(options.connect_timeout, Duration::from_millis(20));
    assert_eq!(options.statement_timeout, Duration::from_millis(30));
}

#[test]
fn a_scylla_at_an_address_is_opened_as_configured() {
    let options = scylla("scylla://ana:pw@a,b:9043/k");
    assert_eq!(options.consistency, StoreConsistency::Quorum);
    assert_eq!(options.datacenter.as_deref(), Some("south"));
    assert_eq!(options.request_timeout, Duration::from_millis(666));
    assert_eq!(options.node, "worker 7");
    assert_eq!(
        (options.contact_points, options.keyspace),
        (vec!["a:9042".to_owned(), "b:9043".to_owned()], "k".into())
    );
    assert_eq!(options.username.as_deref(), Some("ana"));
    assert_eq!(options.password.unwrap().expose_secret(), "pw");
}

#[test]
fn an_address_names_the_datacenter_and_the_consistency_of_its_store() {
    let options = scylla("scylla://a/k?datacenter=north&consistency=LOCAL_QUORUM&request_timeout_ms=700");
    assert_eq!(options.datacenter.as_deref(), Some("north"));
    assert_eq!(options.consistency, StoreConsistency::LocalQuorum);
    assert_eq!(options.request_timeout, Duration::from_millis(700));
    assert_eq!(scylla("scylla://a/k?datacenter=").datacenter, None, "the configured one is of another cluster");
}

#[test]
fn place_and_login_are_never_mixed_with_what_is_configured() {
    let options = postgres("postgres://h/db");
    let defaults = PostgresOptions::default();
    assert_eq!((options.port, options.user, options.schema), (5432, defaults.user, defaults.schema));
    assert!(options.password.is_none());
    let options = scylla("scylla://h/k");
    assert!(options.username.is_none() && options.password.is_none());
}

#[test]
fn a_keyspace_is_made_only_with_the_copies_that_its_address_names() {
    assert_eq!(scylla("scylla://h/k").create_keyspace, None);
    assert_eq!(scylla("scylla://h/k?replication_factor=0").create_keyspace, None);
    let made = |copies| Some(Replication::PerDatacenter(vec![("north".to_owned(), copies)]));
    assert_eq!(scylla("scylla://h/k?datacenter=north&replication_factor=2").create_keyspace, made(2));
}

#[test]
fn values_are_those_that_the_key_takes_and_are_not_shown() {
    for (url, key) in [
        ("embedded:d?fsync=swordfish", "storage.fsync"),
        ("embedded:d?cache_mb=1", "storage.cache_mb"),
        ("postgres://h/db?pool_size=swordfish", "postgres.pool_size"),
        ("postgres://h/db?pool_size=3", "postgres.append_lanes"),
        ("scylla://h/k?consistency=swordfish", "scylla.consistency"),
    ] {
        let error = at(url).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")) && !error.contains("swordfish"), "{url}: {error}");
    }
}

#[test]
fn the_second_store_is_checked_with_the_configuration() {
    let mirror = |address| {
        from_flags(&[("storage.phase", "sync"), ("storage.mirror", address), ("scylla.request_timeout_ms", "900")])
    };
    let config = mirror("scylla://h/k?datacenter=north").unwrap();
    let StoreOptions::Scylla(options) = config.store(config.storage.follows.as_ref().unwrap()).unwrap() else {
        panic!("the second store is a ScyllaDB")
    };
    assert_eq!((options.datacenter.as_deref(), options.request_timeout.as_millis()), (Some("north"), 900));
    let bad = message(mirror("scylla://u:swordfish@h/k?consistency=TWO"));
    assert!(bad.contains("flag: `storage.mirror`") && bad.contains("`scylla.consistency`"), "{bad}");
    assert!(!bad.contains("swordfish") && !bad.contains("TWO"), "{bad}");
    let unknown = message(mirror("scylla://u:swordfish@h/k?dc=hush"));
    assert!(unknown.contains("unknown parameter `dc`") && !unknown.contains("hush"), "{unknown}");
}

#[test]
fn the_configured_stores_are_opened_as_configured() {
    let config = from_flags(SETTINGS).unwrap();
    let store = |backend| config.store(&Place::Configured(backend)).unwrap();
    let StoreOptions::Scylla(options) = store(Backend::Scylla) else { panic!("a ScyllaDB") };
    assert_eq!(options.create_keyspace, Some(Replication::PerDatacenter(vec![("south".to_owned(), 3)])));
    assert_eq!((options.contact_points, options.keyspace), (vec!["elsewhere".to_owned()], "another".to_owned()));
    let StoreOptions::Postgres(options) = store(Backend::Postgres) else { panic!("a PostgreSQL") };
    assert_eq!((options.schema.as_str(), options.pool_size), ("another", 33));
    let StoreOptions::Embedded { dir, .. } = store(Backend::Embedded) else { panic!("an embedded store") };
    assert_eq!(dir, PathBuf::from("./data/store"));
}
