//! Secrets: usable, and nowhere to be seen.

use secrecy::ExposeSecret;

use super::*;

const SECRET: &str = "swordfish-swordfish-swordfish-swordfish";

fn with_secrets() -> Config {
    let old = format!("7:{}:{IV}", KEY.replace('0', "9"));
    from_env(&[
        ("TERTULIA_AUTH_HMAC_SECRET", SECRET),
        ("CHAT_KEY", KEY),
        ("CHAT_IV", IV),
        ("TERTULIA_ENCRYPTION_OLD_KEYS", &old),
        ("POSTGRES_PASSWORD", "swordfish-in-the-database"),
    ])
    .unwrap()
}

fn assert_hides_secrets(shown: &str) {
    for secret in [SECRET, KEY, IV, &KEY.replace('0', "9"), "swordfish", &KEY[..8]] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn nothing_shows_them() {
    let config = with_secrets();
    assert_hides_secrets(&format!("{config:?}"));
    assert_hides_secrets(&format!("{config:#?}"));
    assert_hides_secrets(&config.render());
    let keys = config.encryption.resolve(std::path::Path::new("/nonexistent")).unwrap();
    assert_hides_secrets(&format!("{keys:?}"));
    assert_eq!(keys.current.key.expose_secret(), KEY);
    assert!(!keys.is_generated);
}

#[test]
fn no_error_shows_them() {
    let bad = [
        ("TERTULIA_AUTH_HMAC_SECRET", "swordfish"),
        ("CHAT_KEY", "swordfish"),
        ("CHAT_IV", "swordfish"),
        ("TERTULIA_ENCRYPTION_OLD_KEYS", "1:swordfish:swordfish"),
    ];
    for (name, value) in bad {
        let error = from_env(&[(name, value)]).unwrap_err();
        assert_hides_secrets(&format!("{error} {error:?}"));
        assert!(error.to_string().contains(name), "{error}");
    }
    let flag = from_flags(&[("encryption.key", "swordfish")]).unwrap_err();
    assert_hides_secrets(&format!("{flag} {flag:?}"));
    for content in [
        "[auth]\nhmac_secret = \"swordfish\n",
        "[auth]\nhmac_secret = swordfish\n",
        "[auth]\nhmac_secret = [\"swordfish\"]\n",
        "[auth]\nhmac_secret = \"swordfish\" \"swordfish\"\n",
        "[auth]\nhmac_secret = \"swordfish\\q\"\n",
        "[encryption]\nkey = \"swordfish\"\n",
        "[encryption]\nold_keys = \"swordfish\"\n",
        "[encryption]\nold_keys = [{ swordfish = 1 }]\n",
    ] {
        let error = from_file(content).unwrap_err();
        assert_hides_secrets(&format!("{error} {error:?}"));
    }
    let sources = Sources { env: map(&[("X", SECRET)]), ..Sources::default() };
    assert_hides_secrets(&format!("{sources:?}"));
}

#[test]
fn the_effective_configuration_says_where_values_come_from() {
    let rendered = with_secrets().render();
    for line in [
        "[server]",
        "listen = \"127.0.0.1:8080\" # default",
        "max_connections = 50000 # default",
        "hmac_secret = \"<redacted>\" # env TERTULIA_AUTH_HMAC_SECRET",
        "hmac_secret_file = \"\" # default",
        "key = \"<redacted>\" # env CHAT_KEY",
        "old_keys = [{ key_id = 7, key = \"<redacted>\", iv = \"<redacted>\" }] # env TERTULIA_ENCRYPTION_OLD_KEYS",
    ] {
        assert!(rendered.lines().any(|found| found == line), "{line} in {rendered}");
    }
    let tables: toml::Table = rendered.parse().unwrap();
    assert_eq!(tables.len(), SECTIONS.len());
    // What was not secret can be loaded again.
    let config = from_flags(&[("rooms.idle_ms", "7000"), ("auth.issuer", "a \"quoted\"\\ one")]).unwrap();
    let again = from_file(&config.render()).unwrap();
    assert_eq!(again.rooms.idle_ms, 7000);
    assert_eq!(again.auth.issuer, config.auth.issuer);
}

#[test]
fn without_a_master_key_one_is_made_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = from_env(&[]).unwrap();
    let first = config.encryption.resolve(dir.path()).unwrap();
    let second = config.encryption.resolve(dir.path()).unwrap();
    assert!(first.is_generated);
    assert_eq!(first.current.key_id, 1);
    assert_eq!(first.current.key.expose_secret(), second.current.key.expose_secret());
    let path = dir.path().join(DEV_CHAT_KEY_FILE_NAME);
    assert!(!crate::secret_file::is_open_to_others(&path).unwrap());
    // Its lines are the variables that replace it.
    let text = fs::read_to_string(&path).unwrap();
    let pairs: Vec<_> = text.lines().map(|line| line.split_once('=').unwrap()).collect();
    let replaced = from_env(&pairs).unwrap().encryption.resolve(dir.path()).unwrap();
    assert!(!replaced.is_generated);
    assert_eq!(replaced.current.key.expose_secret(), first.current.key.expose_secret());
    assert_eq!(replaced.current.iv.expose_secret(), first.current.iv.expose_secret());
}

#[test]
fn a_damaged_key_file_is_an_error_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DEV_CHAT_KEY_FILE_NAME);
    let config = from_env(&[]).unwrap();
    for content in [
        String::new(),
        format!("CHAT_KEY={KEY}\n"),
        format!("CHAT_KEY={KEY}\nCHAT_IV=\n"),
        format!("CHAT_KEY={IV}\nCHAT_IV={IV}\n"),
    ] {
        fs::write(&path, &content).unwrap();
        let error = config.encryption.resolve(dir.path()).unwrap_err();
        assert_hides_secrets(&format!("{error} {error:?}"));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn without_a_source_of_keys_the_development_key_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (options, key) = from_env(&[]).unwrap().auth.resolve(dir.path()).unwrap();
    assert!(key.is_some() && options.sources.len() == 1);
    let (options, key) = with_secrets().auth.resolve(dir.path()).unwrap();
    assert!(key.is_none() && options.sources.len() == 1);
}
