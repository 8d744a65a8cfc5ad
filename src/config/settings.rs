//! The layers put on top of each other: for every key its value and who set it.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use super::keys::{self, KEYS, Key};
use super::{ConfigError, Origin, Sources, env, file, suggest};

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// One setting for each of [`KEYS`].
#[derive(Clone)]
pub(super) struct Settings(BTreeMap<&'static str, Setting>);

/// Values may be secrets: only origins are shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.0.iter().map(|(path, setting)| (path, &setting.origin));
        f.debug_map().entries(origins).finish()
    }
}

impl Settings {
    pub(super) fn collect(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = Self(BTreeMap::new());
        for key in KEYS {
            settings.put_text(key, key.default, Origin::Default)?;
        }
        if let Some((path, content)) = file::read(sources)? {
            file::apply(&mut settings, &path, &content)?;
        }
        env::apply(&mut settings, &sources.env)?;
        for (path, text) in &sources.flags {
            let key = keys::find(path).ok_or_else(|| unknown(path, Origin::Flag))?;
            settings.put_text(key, text, Origin::Flag)?;
        }
        Ok(settings)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.0.get(path)
    }

    /// Who set the key.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let origin = self.get(path).map(|setting| setting.origin.clone());
        origin.unwrap_or(Origin::Default)
    }

    pub(super) fn put_text(&mut self, key: &'static Key, text: &str, origin: Origin) -> Result<(), ConfigError> {
        match key.kind.parse(text) {
            Some(value) => {
                self.0.insert(key.path, Setting { value, origin });
                Ok(())
            }
            None => Err(invalid(key, text.to_owned(), origin)),
        }
    }

    /// As [`Self::put_text`] with any path; no error shows the value.
    pub(super) fn put_secretly(&mut self, path: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let key = keys::find(path).ok_or_else(|| unknown(path, origin.clone()))?;
        let Some(value) = key.kind.parse(text) else {
            let (key, expected) = (key.path.to_owned(), key.kind.expected());
            return Err(ConfigError::Invalid { origin, key, value: None, expected });
        };
        self.0.insert(key.path, Setting { value, origin });
        Ok(())
    }

    pub(super) fn put(&mut self, key: &'static Key, value: Value, origin: Origin) -> Result<(), ConfigError> {
        if !key.kind.accepts(&value) {
            let shown = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            return Err(invalid(key, shown, origin));
        }
        self.0.insert(key.path, Setting { value, origin });
        Ok(())
    }

    /// The settings as the tables of a file.
    pub(super) fn to_table(&self) -> toml::Table {
        let mut tables = toml::Table::new();
        for key in KEYS {
            let section = tables.entry(key.section()).or_insert_with(|| Value::Table(toml::Table::new()));
            if let (Value::Table(section), Some(setting)) = (section, self.get(key.path)) {
                section.insert(key.name().to_owned(), setting.value.clone());
            }
        }
        tables
    }
}

/// The error for a value that the key does not take.
pub(super) fn invalid(key: &Key, value: String, origin: Origin) -> ConfigError {
    ConfigError::Invalid {
        origin,
        key: key.path.to_owned(),
        value: (!key.kind.is_secret()).then_some(value),
        expected: key.kind.expected(),
    }
}

/// The error for a key path that does not exist.
pub(super) fn unknown(path: &str, origin: Origin) -> ConfigError {
    let suggestion = suggest::nearest(path, KEYS.iter().map(|key| key.path));
    ConfigError::UnknownKey { origin, key: path.to_owned(), suggestion: suggestion.map(str::to_owned) }
}
