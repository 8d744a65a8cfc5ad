//! Documentation made from the list of keys, so that it cannot be incomplete.

use std::fmt::Write;

use super::keys::{KEYS, Key, SECTIONS};
use super::value::Kind;

/// The tables of `docs/configuration.md`: one for each section, a row for each key.
#[must_use]
pub fn reference_table() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let _ = writeln!(out, "### `[{}]`\n\n{}\n", section.name, section.meaning);
        out.push_str("| key | environment | default | unit | takes | meaning |\n|---|---|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| key.section() == section.name) {
            let _ = writeln!(
                out,
                "| `{}` | `{}` | {} | {} | {} | {} |",
                key.path,
                key.variable(),
                default_cell(key),
                key.unit,
                takes(key.kind).replace('|', "\\|"),
                key.meaning,
            );
        }
        out.push('\n');
    }
    out
}

/// The file `deploy/config/tertulia.toml`: every key with its default and a comment.
#[must_use]
pub fn example_file() -> String {
    let mut out = String::from(
        "# Tertulia: every key with its default. Delete what you do not change.\n\
         # Later layers win: this file, then TERTULIA_<SECTION>_<KEY> in the environment, then flags.\n\
         # The reference is docs/configuration.md.\n",
    );
    for section in SECTIONS {
        let _ = writeln!(out, "\n# {}\n[{}]", section.meaning, section.name);
        for key in KEYS.iter().filter(|key| key.section() == section.name) {
            let unit = if key.unit.is_empty() { String::new() } else { format!(" [{}]", key.unit) };
            let value = match key.kind {
                Kind::Integer { .. } => key.default.to_owned(),
                Kind::OldKeys => "[]".to_owned(),
                _ => format!("{:?}", key.default),
            };
            let _ = writeln!(out, "# {}{unit}\n{} = {value}", key.meaning, key.name());
        }
    }
    out
}

fn default_cell(key: &Key) -> String {
    if key.default.is_empty() { "not set".to_owned() } else { format!("`{}`", key.default) }
}

fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Name => "text".to_owned(),
        Kind::Secret => "secret text".to_owned(),
        Kind::HexSecret { bytes } => format!("secret, {} hexadecimal digits", bytes * 2),
        Kind::Address => "`HOST:PORT`".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Url => "`http` or `https` address".to_owned(),
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::Choice(words) => format!("`{}`", words.join("` or `")),
        Kind::LogFilter => "level or directives".to_owned(),
        Kind::Networks => "networks".to_owned(),
        Kind::Schemes => "schemes with commas between".to_owned(),
        Kind::OldKeys => "secret list".to_owned(),
    }
}
