//! Values: what a key takes, and how each layer writes it.

use toml::Value;
use tracing_subscriber::EnvFilter;

use crate::api::serve::Networks;
use crate::domain::form::UrlSchemes;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text; empty means not set where that is the default.
    Text,
    /// Text that must not be empty.
    Name,
    /// Text that is never shown.
    Secret,
    /// That many bytes in hexadecimal, never shown; empty means not set.
    HexSecret {
        /// Length in bytes.
        bytes: usize,
    },
    /// `HOST:PORT`, where HOST is a name, an IPv4 address or an IPv6 address in brackets.
    Address,
    /// A file or directory; relative to the working directory.
    Path,
    /// An `http` or `https` address; empty means not set.
    Url,
    /// An integer within bounds, both included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A level or a list of filter directives.
    LogFilter,
    /// Networks, with commas between.
    Networks,
    /// Schemes of addresses, with commas between.
    Schemes,
    /// Master keys: a list of tables in a file, `ID:KEY:IV` with commas between elsewhere.
    OldKeys,
}

/// Length of a master key in bytes.
pub(super) const MASTER_KEY_LEN: usize = 32;

/// Length of a master key's initialization vector in bytes.
pub(super) const MASTER_IV_LEN: usize = 16;

impl Kind {
    /// Whether values must not be shown.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::HexSecret { .. } | Self::OldKeys)
    }

    /// What the key takes, for messages.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "a string".to_owned(),
            Self::Name => "a string that is not empty".to_owned(),
            Self::HexSecret { bytes } => {
                format!("a string of {} hexadecimal digits ({bytes} bytes)", bytes * 2)
            }
            Self::Address => "HOST:PORT, such as \"127.0.0.1:8080\"".to_owned(),
            Self::Path => "a path that is not empty".to_owned(),
            Self::Url => "an http or https address".to_owned(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::LogFilter => "a level (\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\") or \
                 directives such as \"info,tertulia=debug\""
                .to_owned(),
            Self::Networks => {
                "addresses and networks such as 192.0.2.0/24 with commas between, \"private\" or \"none\"".to_owned()
            }
            Self::Schemes => {
                "schemes of addresses in lower case with commas between, such as \"https,http\"; none that \
                 runs or reads what is on the reader's machine (\"javascript\", \"data\", \"file\")"
                    .to_owned()
            }
            Self::OldKeys => "a list of { key_id, key, iv }, in the environment and in flags \
                 ID:KEY:IV with commas between; key_id is 1 to 255, key 64 and iv 32 hexadecimal digits"
                .to_owned(),
        }
    }

    /// The value that a default, a variable or a flag writes as text; `None` if it does not fit.
    pub(super) fn parse(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Integer { .. } => Value::Integer(text.trim().parse().ok()?),
            Self::OldKeys => Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|key| !key.is_empty())
                    .map(parse_old_key)
                    .collect::<Option<_>>()?,
            ),
            _ => Value::String(text.to_owned()),
        };
        self.accepts(&value).then_some(value)
    }

    /// Whether the key takes this value.
    pub(super) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer { min, max }, Value::Integer(number)) => (min..=max).contains(number),
            (Self::OldKeys, Value::Array(keys)) => keys.iter().all(is_old_key),
            (_, Value::String(text)) => self.accepts_text(text),
            _ => false,
        }
    }

    fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Secret => true,
            Self::Name | Self::Path => !text.is_empty(),
            Self::HexSecret { bytes } => text.is_empty() || is_hex(text, bytes),
            Self::Address => is_address(text),
            Self::Url => text.is_empty() || is_url(text),
            Self::Choice(words) => words.contains(&text),
            Self::LogFilter => !text.trim().is_empty() && EnvFilter::try_new(text).is_ok(),
            Self::Networks => text.parse::<Networks>().is_ok(),
            Self::Schemes => UrlSchemes::parse(text).is_some(),
            Self::Integer { .. } | Self::OldKeys => false,
        }
    }
}

fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == bytes * 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_host = if is_bracketed {
        text.parse::<std::net::SocketAddrV6>().is_ok()
    } else {
        !host.is_empty() && !host.contains([':', '[', ']', '/', ' '])
    };
    is_host && port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

fn parse_old_key(text: &str) -> Option<Value> {
    let mut parts = text.split(':');
    let (key_id, key, iv) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut table = toml::Table::new();
    table.insert("key_id".to_owned(), Value::Integer(key_id.parse().ok()?));
    table.insert("key".to_owned(), Value::String(key.to_owned()));
    table.insert("iv".to_owned(), Value::String(iv.to_owned()));
    Some(Value::Table(table))
}

fn is_old_key(value: &Value) -> bool {
    let Some(table) = value.as_table() else {
        return false;
    };
    let is_text = |name: &str, bytes| {
        let text = table.get(name).and_then(Value::as_str);
        text.is_some_and(|text| is_hex(text, bytes))
    };
    let key_id = table.get("key_id").and_then(Value::as_integer);
    table.len() == 3
        && key_id.is_some_and(|id| (1..=255).contains(&id))
        && is_text("key", MASTER_KEY_LEN)
        && is_text("iv", MASTER_IV_LEN)
}
