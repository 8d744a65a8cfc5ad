//! Variables: ours, other people's, and those of servers that came before.

use secrecy::ExposeSecret;

use super::*;
use crate::storage::scylla::StoreConsistency;

#[test]
fn every_key_has_a_variable() {
    for key in KEYS {
        let value = match key.kind {
            Kind::HexSecret { bytes } => "a1".repeat(bytes),
            Kind::OldKeys => format!("7:{KEY}:{IV}"),
            Kind::Url => "https://example.com/keys".to_owned(),
            _ if key.default.is_empty() => "0123456789abcdef0123456789abcdef".to_owned(),
            _ => key.default.to_owned(),
        };
        let env = map(&[(&key.variable(), &value)]);
        let settings = Settings::collect(&Sources { file: ConfigFile::None, env, flags: Vec::new() }).unwrap();
        let origin = &settings.get(key.path).unwrap().origin;
        assert_eq!(*origin, Origin::Env { name: key.variable() });
    }
}

#[test]
fn unknown_variables_of_ours_are_errors() {
    assert_eq!(
        message(from_env(&[("TERTULIA_SERVER_LISTEN_ADDRESS", "a:1")])),
        "env TERTULIA_SERVER_LISTEN_ADDRESS: unknown key `TERTULIA_SERVER_LISTEN_ADDRESS`"
    );
    assert_eq!(
        message(from_env(&[("TERTULIA_SERVER_LSTEN", "a:1")])),
        "env TERTULIA_SERVER_LSTEN: unknown key `TERTULIA_SERVER_LSTEN`, did you mean `TERTULIA_SERVER_LISTEN`?"
    );
    assert!(message(from_env(&[("CHAT_KEYS", KEY)])).contains("did you mean `CHAT_KEY`?"));
    assert!(message(from_env(&[("CHAT_SECRET", "")])).contains("CHAT_SECRET"));
    assert!(message(from_env(&[("TERTULIA_SERVER_PORT", "8080")])).contains("TERTULIA_SERVER_PORT"));
    assert!(message(from_env(&[("TERTULIA_PORT_A_B", "x")])).contains("TERTULIA_PORT_A_B"));
}

#[test]
fn other_variables_are_left_alone() {
    let config = from_env(&[
        ("PATH", "/bin"),
        ("tertulia_server_listen", "lower case is not ours"),
        ("TERTULIA", "nor is this"),
        ("TERTULIA_TOKEN", "of the client commands"),
        ("TERTULIA_TEST_ANYTHING", "of the tests"),
        // What Kubernetes puts into every container beside a service called chat.
        ("CHAT_SERVICE_HOST", "10.0.0.1"),
        ("CHAT_SERVICE_PORT", "80"),
        ("CHAT_SERVICE_PORT_GRPC", "80"),
        ("CHAT_PORT", "tcp://10.0.0.1:80"),
        ("CHAT_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("CHAT_PORT_80_TCP_PROTO", "tcp"),
        ("CHAT_PORT_80_TCP_PORT", "80"),
        ("CHAT_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("TERTULIA_MAIN_PORT_80_UDP_ADDR", "10.0.0.1"),
    ]);
    assert!(config.unwrap().warnings().is_empty());
}

#[test]
fn an_empty_value_is_not_set() {
    let config =
        from_env(&[("TERTULIA_SERVER_MAX_CONNECTIONS", ""), ("CHAT_KEY", ""), ("NATS_URL", ""), ("USE_SCYLLADB", "")])
            .unwrap();
    assert_eq!(config.server.max_connections, 50_000);
    assert!(config.encryption.current.is_none());
}

#[test]
fn chat_key_and_chat_iv_are_the_master_key() {
    let config = from_env(&[("CHAT_KEY", KEY), ("CHAT_IV", IV)]).unwrap();
    assert_eq!(config.encryption.current.as_ref().unwrap().key_id, 1);
    assert_eq!(config.origin("encryption.key").unwrap().to_string(), "env CHAT_KEY");
    let twice = [("CHAT_KEY", KEY), ("TERTULIA_ENCRYPTION_KEY", KEY), ("CHAT_IV", IV)];
    assert!(from_env(&twice).is_ok(), "the same value is no conflict");
    let other = KEY.replace('0', "1");
    let conflict = [("CHAT_KEY", KEY), ("TERTULIA_ENCRYPTION_KEY", &other), ("CHAT_IV", IV)];
    assert_eq!(
        message(from_env(&conflict)),
        "env CHAT_KEY: `encryption.key` is set to something else by TERTULIA_ENCRYPTION_KEY"
    );
}

#[test]
fn a_backend_that_is_not_there_is_refused() {
    assert!(message(from_env(&[("NATS_URL", "nats://n:4222")])).contains("the NATS event bus"));
}

#[test]
fn the_address_of_postgres_selects_it() {
    let config = from_env(&[
        ("POSTGRES_HOST", "db"),
        ("POSTGRES_PORT", "6432"),
        ("POSTGRES_USER", "u"),
        ("POSTGRES_PASSWORD", "p"),
        ("POSTGRES_DB", "chat"),
    ])
    .unwrap();
    let postgres = &config.postgres;
    assert_eq!(config.storage.backend, Backend::Postgres);
    assert_eq!((postgres.host.as_str(), postgres.port), ("db", 6432));
    assert_eq!((postgres.user.as_str(), postgres.database.as_str()), ("u", "chat"));
    assert_eq!(postgres.password.as_ref().unwrap().expose_secret(), "p");
    assert!(config.warnings().is_empty());
    assert_eq!(from_env(&[("TERTULIA_POSTGRES_HOST", "db")]).unwrap().storage.backend, Backend::Postgres);
    assert_eq!(from_env(&[("POSTGRES_USER", "u")]).unwrap().storage.backend, Backend::Embedded);
}

#[test]
fn the_backend_that_is_named_counts() {
    let named = |backend, host| from_env(&[("TERTULIA_STORAGE_BACKEND", backend), ("POSTGRES_HOST", host)]);
    assert_eq!(named("embedded", "db").unwrap().storage.backend, Backend::Embedded);
    assert_eq!(named("postgres", "db").unwrap().storage.backend, Backend::Postgres);
    assert_eq!(named("auto", "").unwrap().storage.backend, Backend::Embedded);
    assert_eq!(
        message(named("postgres", "")),
        "env TERTULIA_STORAGE_BACKEND: `storage.backend` is \"postgres\" without `postgres.host`"
    );
    assert_eq!(
        message(named("scylla", "db")),
        "env TERTULIA_STORAGE_BACKEND: `storage.backend` is \"scylla\" without `scylla.hosts`"
    );
}

#[test]
fn a_switch_selects_scylla() {
    for switch in ["USE_SCYLLADB", "SCYLLA_ENABLED"] {
        for (value, expected) in [("true", Backend::Scylla), ("0", Backend::Postgres)] {
            let env = [(switch, value), ("SCYLLA_HOSTS", "a, b:9999"), ("POSTGRES_HOST", "db")];
            let config = from_env(&env).unwrap();
            assert_eq!(config.storage.backend, expected, "{switch}={value}");
            assert_eq!(config.scylla.hosts, ["a", "b:9999"]);
        }
        let named = [(switch, "true"), ("SCYLLA_HOSTS", "a"), ("TERTULIA_STORAGE_BACKEND", "embedded")];
        assert_eq!(from_env(&named).unwrap().storage.backend, Backend::Embedded, "the key's own name counts more");
        assert_eq!(
            message(from_env(&[(switch, "true")])),
            format!("env {switch}: `storage.backend` is \"scylla\" without `scylla.hosts`")
        );
    }
    let config = from_env(&[
        ("USE_SCYLLADB", "1"),
        ("SCYLLA_CONTACT_POINTS", "c"),
        ("SCYLLA_PORT", "9142"),
        ("SCYLLA_KEYSPACE", "k"),
        ("SCYLLA_CONSISTENCY", "QUORUM"),
        ("SCYLLA_USERNAME", "u"),
        ("SCYLLA_PASSWORD", "p"),
    ])
    .unwrap();
    let scylla = &config.scylla;
    assert_eq!((scylla.hosts[0].as_str(), scylla.port, scylla.keyspace.as_str()), ("c", 9142, "k"));
    assert_eq!(scylla.consistency, StoreConsistency::Quorum);
    assert_eq!(scylla.password.as_ref().unwrap().expose_secret(), "p");
    assert!(message(from_env(&[("SCYLLA_CONSISTENCY", "ANY")])).contains("SCYLLA_CONSISTENCY"));
}

/// The phase that three switches say, over PostgreSQL with an address of ScyllaDB beside it.
fn switched(sync: &str, reads: &str, writes: &str, more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let switches = [("SYNC_TO_SCYLLA", sync), ("USE_SCYLLA_READS", reads), ("USE_SCYLLA_WRITES", writes)];
    from_env(&[&switches, more].concat())
}

#[test]
fn three_switches_say_how_far_a_move_is() {
    let both = [("POSTGRES_HOST", "db"), ("SCYLLA_HOSTS", "a")];
    let places = |sync, reads, writes| {
        let config = switched(sync, reads, writes, &both).unwrap();
        (config.storage.serves, config.storage.follows)
    };
    let (first, second) = (Place::Configured(Backend::Postgres), Place::Configured(Backend::Scylla));
    assert_eq!(places("off", "", "0"), (first.clone(), None));
    assert_eq!(places("true", "", ""), (first.clone(), Some(second.clone())));
    assert_eq!(places("1", "yes", "ON"), (second.clone(), Some(first)));
    assert_eq!(places("", "True", "true"), (second, None));
    let reads = message(switched("true", "true", "", &both));
    assert!(reads.starts_with("env USE_SCYLLA_READS: `storage.phase` is \"reads\", which is not supported"), "{reads}");
    assert!(message(switched("true", "", "true", &both)).contains("set USE_SCYLLA_READS=true as well"));
    assert!(message(switched("", "", "true", &both)).contains("set USE_SCYLLA_READS=true as well"));
    assert!(message(switched("", "true", "", &both)).contains("set SYNC_TO_SCYLLA=true"));
    assert!(message(switched("maybe", "", "", &both)).contains("expected \"true\" or \"false\""));
    let named = [both[0], both[1], ("TERTULIA_STORAGE_PHASE", "before")];
    let config = switched("true", "", "", &named).unwrap();
    assert_eq!(config.storage.follows, None, "the key's own name counts more");
}

#[test]
fn the_second_store_must_be_one() {
    let sync = |more: &[(&str, &str)]| switched("true", "", "", more);
    assert!(message(sync(&[("POSTGRES_HOST", "db")])).contains("set `storage.mirror`, or `scylla.hosts`"));
    let first = [("USE_SCYLLADB", "true"), ("SCYLLA_HOSTS", "a")];
    assert!(message(sync(&first)).contains("ScyllaDB is the first one already"));
    let secret = ("TERTULIA_STORAGE_MIRROR", "postgres://u:swordfish@h/db");
    let config = sync(&[first[0], first[1], secret]).unwrap();
    assert_eq!(config.storage.serves, Place::Configured(Backend::Scylla));
    let Some(Place::Url(url)) = &config.storage.follows else { panic!("{:?}", config.storage) };
    assert_eq!(url.to_string(), "postgres://h/db");
    assert!(!format!("{config:?}{}", config.render()).contains("swordfish"));
    let bad = message(sync(&[("TERTULIA_STORAGE_MIRROR", "swordfish")]));
    assert!(bad.contains("`storage.mirror` is no address") && !bad.contains("swordfish"), "{bad}");
    let idle = from_env(&[secret]).unwrap();
    assert!(idle.warnings()[0].contains("nothing is brought there"));
}

#[test]
fn an_address_nobody_asks_for_is_a_warning() {
    let config = from_env(&[("SCYLLA_KEYSPACE", "k"), ("SCYLLA_HOSTS", "a,b"), ("USE_SCYLLADB", "false")]).unwrap();
    assert_eq!(config.warnings().len(), 1);
    assert!(config.warnings()[0].contains("`scylla.hosts` is set"));
}

#[test]
fn redis_is_used_when_it_has_a_host() {
    assert!(from_env(&[("REDIS_PORT", "6380")]).unwrap().redis.is_none());
    let env = [("REDIS_HOST", "cache"), ("REDIS_PORT", "6380"), ("TERTULIA_REDIS_PASSWORD", "hush")];
    let redis = from_env(&env).unwrap().redis.unwrap();
    assert_eq!((redis.host.as_str(), redis.port, redis.prefix.as_str()), ("cache", 6380, "tertulia:"));
    assert!(!format!("{redis:?}").contains("hush"));
}

#[test]
fn a_bad_value_names_the_variable() {
    assert_eq!(
        message(from_env(&[("TERTULIA_ROOMS_IDLE_MS", "2m")])),
        "env TERTULIA_ROOMS_IDLE_MS: `rooms.idle_ms` = \"2m\": expected an integer from 1000 to 86400000"
    );
}
