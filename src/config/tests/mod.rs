//! What the tests of this module share: sources made of literals.

mod env;
mod file;
mod published;
mod secrets;
mod stores;
mod validation;

use std::fs;
use std::path::PathBuf;

use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
const IV: &str = "0102030405060708090a0b0c0d0e0f10";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&Sources { file: ConfigFile::None, env: map(pairs), flags: Vec::new() })
}

fn from_flags(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&Sources { file: ConfigFile::None, env: BTreeMap::new(), flags: map(pairs).into_iter().collect() })
}

/// A file in a directory that goes when the first value is dropped.
fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tertulia.toml");
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn from_file(content: &str) -> Result<Config, ConfigError> {
    let (_dir, path) = written(content);
    Config::load(&Sources { file: ConfigFile::Required(path), ..Sources::default() })
}

/// The message of the error, which must be one.
fn message(result: Result<Config, ConfigError>) -> String {
    result.expect_err("the configuration is bad").to_string()
}

#[test]
fn without_anything_the_defaults_count() {
    let config = from_env(&[]).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080");
    assert_eq!(config.server.data_dir, PathBuf::from("./data"));
    assert_eq!(config.server.max_message_bytes, 1024 * 1024);
    assert_eq!(config.server.drain_timeout().as_secs(), 10);
    assert!(config.auth.sources.is_empty());
    assert_eq!(config.auth.claims, crate::api::auth::ClaimNames::default());
    assert!(config.encryption.current.is_none() && config.encryption.old.is_empty());
    assert_eq!(config.storage.fsync, Fsync::Always);
    assert_eq!(config.rooms.idle_ms, 120_000);
    assert_eq!(config.streams.queue_bytes_max, 1024 * 1024);
    assert_eq!((config.limits.user_per_s, config.limits.room_burst), (100, 4000));
    assert_eq!(config.log.format, LogFormat::Text);
    assert!(config.warnings().is_empty());
}

#[test]
fn later_layers_win() {
    let (_dir, path) = written("[server]\nlisten = \"f:1\"\nmax_connections = 10\nworker_threads = 2\n");
    let sources = Sources {
        file: ConfigFile::Required(path.clone()),
        env: map(&[("TERTULIA_SERVER_LISTEN", "e:2"), ("TERTULIA_SERVER_MAX_CONNECTIONS", "20")]),
        flags: vec![("server.listen".to_owned(), "x:3".to_owned()), ("server.listen".to_owned(), "g:3".to_owned())],
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.server.listen, "g:3");
    assert_eq!(config.server.max_connections, 20);
    assert_eq!(config.server.worker_threads, 2);
    assert_eq!(config.server.drain_timeout_ms, 10_000);
    let origin = |path| config.origin(path).unwrap().to_string();
    assert_eq!(origin("server.listen"), "flag");
    assert_eq!(origin("server.max_connections"), "env TERTULIA_SERVER_MAX_CONNECTIONS");
    assert_eq!(origin("server.worker_threads"), format!("file {}:4", path.display()));
    assert_eq!(origin("server.drain_timeout_ms"), "default");
    assert_eq!(config.origin("server.nothing"), None);
}

#[test]
fn a_flag_is_checked_like_everything_else() {
    assert_eq!(
        message(from_flags(&[("server.lissten", "a:1")])),
        "flag: unknown key `server.lissten`, did you mean `server.listen`?"
    );
    assert_eq!(
        message(from_flags(&[("storage.fsync", "never")])),
        "flag: `storage.fsync` = \"never\": expected one of \"always\", \"interval\""
    );
}

#[test]
fn the_file_that_was_asked_for_must_be_there() {
    let missing = Sources { file: ConfigFile::Required(PathBuf::from("/nonexistent/t.toml")), ..Sources::default() };
    assert!(message(Config::load(&missing)).contains("/nonexistent/t.toml"));
    let by_env = Sources { env: map(&[(CONFIG_FILE_VARIABLE, "/nonexistent/e.toml")]), ..Sources::default() };
    assert!(message(Config::load(&by_env)).contains("/nonexistent/e.toml"));
    let (_dir, path) = written("[log]\nlevel = \"warn\"\n");
    let found = Sources { env: map(&[(CONFIG_FILE_VARIABLE, path.to_str().unwrap())]), ..Sources::default() };
    assert_eq!(Config::load(&found).unwrap().log.level, "warn");
}

#[test]
fn the_list_of_keys_and_the_types_agree() {
    // `Config::load` deserializes every key into types that refuse unknown and missing fields.
    from_env(&[]).unwrap();
    for key in KEYS {
        assert_eq!(key.path.matches('.').count(), 1, "{}", key.path);
        assert!(SECTIONS.iter().any(|section| section.name == key.section()), "{}", key.path);
        assert!(key.meaning.ends_with('.') || key.meaning.ends_with('`'), "{}", key.path);
        // Every bound fits its type.
        if let Kind::Integer { min, max } = key.kind {
            for bound in [min, max] {
                let flags = vec![(key.path.to_owned(), bound.to_string())];
                let sources = Sources { file: ConfigFile::None, flags, ..Sources::default() };
                match Config::load(&sources) {
                    Ok(_) | Err(ConfigError::Conflict { .. }) => {}
                    Err(err) => panic!("{} = {bound}: {err}", key.path),
                }
            }
            for beyond in [min - 1, max + 1] {
                assert!(from_flags(&[(key.path, &beyond.to_string())]).is_err(), "{}", key.path);
            }
        }
    }
    let variables: std::collections::BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
    assert_eq!(variables.len(), KEYS.len());
}
