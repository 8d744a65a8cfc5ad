//! What is shipped and written about configuration says what the list of keys says.
//!
//! `BLESS=1 cargo test --lib config::tests::published` writes the files anew.

use std::path::Path;

use super::*;

const BEGIN: &str = "<!-- keys: made from src/config/keys.rs -->\n";
const END: &str = "<!-- end of keys -->\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn assert_published(path: &str, expected: &str) {
    let path = repository(path);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(found == expected, "{} is out of date: run with BLESS=1", path.display());
}

#[test]
fn the_example_is_up_to_date() {
    assert_published("deploy/config/tertulia.toml", &example_file());
}

#[test]
fn the_example_parses_names_every_key_and_changes_nothing() {
    let path = repository("deploy/config/tertulia.toml");
    let content = fs::read_to_string(&path).unwrap();
    let sources = Sources { file: ConfigFile::Required(path), ..Sources::default() };
    let config = Config::load(&sources).unwrap();
    let defaults = from_env(&[]).unwrap();
    for key in KEYS {
        let origin = config.origin(key.path).unwrap();
        assert!(matches!(origin, Origin::File { .. }), "{} is not in the example", key.path);
        let value = |config: &Config| config.settings.get(key.path).unwrap().value.clone();
        assert_eq!(value(&config), value(&defaults), "{}", key.path);
    }
    let lines: Vec<_> = content.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        assert!(pair[0].starts_with("# "), "no comment before {}", pair[1]);
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let found = fs::read_to_string(repository("docs/configuration.md")).unwrap();
    let (before, rest) = found.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}\n{}{END}{after}", reference_table());
    assert_published("docs/configuration.md", &expected);
    for key in KEYS {
        let row = format!("| `{}` | `{}` |", key.path, key.variable());
        assert!(expected.contains(&row), "{}", key.path);
    }
}
