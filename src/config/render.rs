//! The effective configuration as text, without secrets.

use std::fmt::Write;

use toml::Value;

use super::keys::{KEYS, SECTIONS};
use super::settings::Settings;
use super::value::Kind;

const REDACTED: &str = "<redacted>";

/// TOML with the origin of each value behind it.
pub(super) fn render(settings: &Settings) -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let _ = writeln!(out, "{}[{}]", if out.is_empty() { "" } else { "\n" }, section.name);
        for key in KEYS.iter().filter(|key| key.section() == section.name) {
            if let Some(setting) = settings.get(key.path) {
                let value = shown(key.kind, &setting.value);
                let _ = writeln!(out, "{} = {value} # {}", key.name(), setting.origin);
            }
        }
    }
    out
}

/// The value in TOML; of a secret only whether it is set, and of old keys which.
fn shown(kind: Kind, value: &Value) -> String {
    match value {
        Value::String(text) if kind.is_secret() && !text.is_empty() => format!("{REDACTED:?}"),
        Value::Array(keys) => {
            let keys: Vec<_> = keys.iter().map(redacted_old_key).collect();
            format!("[{}]", keys.join(", "))
        }
        other => other.to_string(),
    }
}

fn redacted_old_key(key: &Value) -> String {
    let key_id = key.get("key_id").and_then(Value::as_integer).unwrap_or(0);
    format!("{{ key_id = {key_id}, key = {REDACTED:?}, iv = {REDACTED:?} }}")
}
