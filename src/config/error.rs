//! What can be wrong with a configuration. Messages name the layer, the key and what was expected,
//! and never a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A command line flag.
    Flag,
    /// A parameter of a store's address.
    Address,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Env { name } => write!(f, "env {name}"),
            Self::Flag => f.write_str("flag"),
            Self::Address => f.write_str("address"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("configuration file {} cannot be read", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What the file system answered.
        #[source]
        source: io::Error,
    },
    /// The configuration file is no TOML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// The key as written.
        key: String,
        /// A key of nearly that name.
        suggestion: Option<String>,
    },
    /// A value that the key does not take.
    #[error("{origin}: `{key}`{}: expected {expected}", shown(value.as_deref()))]
    Invalid {
        /// Where it was set.
        origin: Origin,
        /// The key.
        key: String,
        /// The value; `None` if it is a secret.
        value: Option<String>,
        /// What the key takes.
        expected: String,
    },
    /// Values that are good one by one and not together.
    #[error("{origin}: `{key}` {problem}")]
    Conflict {
        /// Where the key was set.
        origin: Origin,
        /// One of the keys.
        key: String,
        /// What is wrong, naming the other one.
        problem: String,
    },
    /// Something that the environment asks for and this build does not have.
    #[error("env {name}: {feature} is not supported by this build yet; unset {name} to go on without it")]
    NotSupported {
        /// The variable.
        name: String,
        /// What it asks for.
        feature: &'static str,
    },
    /// The generated master key's file cannot be made or used.
    #[error("key file {} cannot be used", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the file system answered, or what is wrong with its content.
        #[source]
        source: io::Error,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!(", did you mean `{key}`?"))
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(" = {value:?}"))
}
