//! Files: good, misspelt, of the wrong type, broken.

use super::*;

/// The message with the file's path, which differs from run to run, as `FILE`.
fn error(content: &str) -> String {
    let (_dir, path) = written(content);
    let shown = path.display().to_string();
    let sources = Sources { file: ConfigFile::Required(path), ..Sources::default() };
    message(Config::load(&sources)).replace(&shown, "FILE")
}

#[test]
fn a_file_sets_what_it_names() {
    let config = from_file(
        "# a comment\nserver.listen = \"[::1]:0\"\n[rooms]\nidle_ms = 5_000\n[limits]\nuser_per_s = 0x10\n\
         [log]\nformat = \"json\"\nlevel = \"info,tertulia=debug\"\n",
    )
    .unwrap();
    assert_eq!(config.server.listen, "[::1]:0");
    assert_eq!(config.rooms.idle_ms, 5000);
    assert_eq!(config.limits.user_per_s, 16);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(from_file("").is_ok());
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    assert_eq!(
        error("[server]\nlisten = \"a:1\"\nlistn = \"b:1\"\n"),
        "file FILE:3: unknown key `server.listn`, did you mean `server.listen`?"
    );
    assert_eq!(error("\n[sever]\nlisten = \"a:1\"\n"), "file FILE:2: unknown key `sever`, did you mean `server`?");
    assert_eq!(error("colour = 1\n"), "file FILE:1: unknown key `colour`");
    assert_eq!(
        error("[log.level]\nx = 1\n").split(": expected").next(),
        Some("file FILE:1: `log.level` = \"{ x = 1 }\"")
    );
}

#[test]
fn wrong_types_and_values_are_named_with_what_was_expected() {
    assert_eq!(
        error("[server]\nmax_connections = \"10\"\n"),
        "file FILE:2: `server.max_connections` = \"10\": expected an integer from 1 to 10000000"
    );
    assert_eq!(
        error("[server]\n\nlisten = 8080\n"),
        "file FILE:3: `server.listen` = \"8080\": expected HOST:PORT, such as \"127.0.0.1:8080\""
    );
    assert_eq!(error("server = 5\n"), "file FILE:1: `server`: expected a table, [server]");
    for value in ["true", "1.5", "2020-01-01", "[1]", "99999999999999999999"] {
        let content = format!("[rooms]\nidle_ms = {value}\n");
        assert!(error(&content).contains("expected an integer"), "{value}");
    }
}

#[test]
fn broken_files_are_named_with_line_and_column() {
    let message = error("[server]\nlisten = \n");
    assert!(message.starts_with("FILE:2:10: "), "{message}");
    assert!(error("[server]\n[server]\n").starts_with("FILE:2:"), "{message}");
}

#[test]
fn old_keys_are_a_list_of_tables() {
    let file = format!(
        "[encryption]\nkey = \"{KEY}\"\niv = \"{IV}\"\nkey_id = 3\n\
         old_keys = [{{ key_id = 1, key = \"{KEY}\", iv = \"{IV}\" }}, {{ key_id = 2, key = \"{KEY}\", iv = \"{IV}\" }}]\n"
    );
    let config = from_file(&file).unwrap();
    let ids: Vec<_> = config.encryption.old.iter().map(|key| key.key_id).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(config.encryption.current.unwrap().key_id, 3);
    let tables = format!(
        "[encryption]\nkey = \"{KEY}\"\niv = \"{IV}\"\n[[encryption.old_keys]]\nkey_id = 2\nkey = \"{KEY}\"\niv = \"{IV}\"\n"
    );
    assert_eq!(from_file(&tables).unwrap().encryption.old.len(), 1);
    for bad in ["", "key_id = 0", "key_id = 256", "key_id = 2, extra = 1", "key_id = \"2\""] {
        let file =
            format!("[encryption]\nold_keys = [{{ {bad}, key = \"{KEY}\", iv = \"{IV}\" }}]\n").replace("{ ,", "{");
        assert!(error(&file).contains("FILE:2: `encryption.old_keys`: expected a list of"), "{bad}");
    }
}
