//! The ids and numbers of the domain, each a type of its own.
//!
//! Nothing here reads a clock or draws randomness: the caller passes time and bytes in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A room: a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomId(pub [u8; 16]);

impl RoomId {
    /// A version 4 UUID made of 16 random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RoomId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text).map(|id| Self(id.into_bytes()))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A user: the embedding product's own id, at least 1. 0 stands for the server itself.
    UserId(i64)
);
number!(
    /// A message: a Snowflake, see [`crate::domain::snowflake`].
    MessageId(i64)
);
number!(
    /// Place of an event in its room's log: 1, 2, 3, … without gaps. 0 is "before the first".
    Seq(u64)
);
number!(
    /// Ordinal of a message among its room's messages: 1, 2, 3, … without gaps. 0 is "before the first".
    Ordinal(u64)
);
number!(
    /// Generation of a room's writer; only grows. 0 is "never claimed".
    Epoch(u64)
);

impl UserId {
    /// The server itself, as author of system messages.
    pub const SERVER: Self = Self(0);
}

impl Seq {
    /// The next place in the log.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Ordinal {
    /// The next ordinal.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The sender's own id of a send: 1 to 128 bytes of UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClientMessageId(pub Box<str>);

impl fmt::Display for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256, cut to 16 bytes, of what a send says: tells a retry from another message with the same client id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BodyHash(pub [u8; 16]);

/// A message's twin in another chat system; unique over the whole store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExternalRef {
    /// Name of the system, 1 to 64 bytes.
    pub source: String,
    /// The chat there, 1 to 128 bytes.
    pub chat: String,
    /// The message there, 1 to 128 bytes.
    pub message: String,
}
