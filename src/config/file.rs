//! The file layer. Every error names the line; none quotes it, since it may hold a secret.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::env::CONFIG_FILE_VARIABLE;
use super::keys::{self, SECTIONS};
use super::settings::{Settings, unknown};
use super::{ConfigError, ConfigFile, DEFAULT_FILE_NAME, Origin, Sources, suggest};

/// The file to use and its content; `None` if there is none and none is required.
pub(super) fn read(sources: &Sources) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = sources.env.get(CONFIG_FILE_VARIABLE);
    let (path, required) = match &sources.file {
        ConfigFile::None => return Ok(None),
        ConfigFile::Required(path) => (path.clone(), true),
        ConfigFile::Default => match named.filter(|name| !name.is_empty()) {
            Some(name) => (PathBuf::from(name), true),
            None => (PathBuf::from(DEFAULT_FILE_NAME), false),
        },
    };
    match fs::read_to_string(&path) {
        Ok(content) => Ok(Some((path, content))),
        Err(err) if err.kind() == io::ErrorKind::NotFound && !required => Ok(None),
        Err(source) => Err(ConfigError::ReadFile { path, source }),
    }
}

/// Puts the file's values on top.
pub(super) fn apply(settings: &mut Settings, path: &Path, content: &str) -> Result<(), ConfigError> {
    let file = File { path, content };
    let tables = DeTable::parse(content).map_err(|err| file.syntax(&err))?;
    for (section, table) in tables.get_ref() {
        let origin = file.origin(&section.span());
        let name = section.get_ref().as_ref();
        if !SECTIONS.iter().any(|section| section.name == name) {
            return Err(unknown_section(name, origin));
        }
        let DeValue::Table(table) = table.get_ref() else {
            return Err(ConfigError::Invalid {
                origin,
                key: name.to_owned(),
                value: None,
                expected: format!("a table, [{name}]"),
            });
        };
        for (key, value) in table {
            let path = format!("{name}.{}", key.get_ref());
            let origin = file.origin(&key.span());
            let Some(key) = keys::find(&path) else {
                return Err(unknown(&path, origin));
            };
            settings.put(key, to_value(value.get_ref()), origin)?;
        }
    }
    Ok(())
}

fn unknown_section(name: &str, origin: Origin) -> ConfigError {
    let suggestion = suggest::nearest(name, SECTIONS.iter().map(|section| section.name));
    ConfigError::UnknownKey { origin, key: name.to_owned(), suggestion: suggestion.map(str::to_owned) }
}

/// The value without its place. What no key takes anyway becomes a text that says what it was.
fn to_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            // Beyond the type is beyond every bound too.
            Value::Integer(parsed.unwrap_or(i64::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(values) => Value::Array(values.iter().map(|value| to_value(value.get_ref())).collect()),
        DeValue::Table(values) => Value::Table(
            values.iter().map(|(key, value)| (key.get_ref().to_string(), to_value(value.get_ref()))).collect(),
        ),
    }
}

struct File<'a> {
    path: &'a Path,
    content: &'a str,
}

impl File<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.place(span.start).0 }
    }

    fn syntax(&self, err: &toml::de::Error) -> ConfigError {
        let (line, column) = self.place(err.span().map_or(0, |span| span.start));
        ConfigError::Syntax {
            path: self.path.to_owned(),
            line,
            column,
            // The first line of the message says what is wrong; the parser quotes the source only
            // in its full display form, which is not used here.
            message: err.message().lines().collect::<Vec<_>>().join(", "),
        }
    }

    /// Line and column, both from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.content.get(..offset).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}
