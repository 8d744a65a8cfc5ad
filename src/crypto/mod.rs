//! Encryption: the master keys, what is stored, and what clients of a room share.
//!
//! Owns three forms, described byte by byte in `docs/encryption.md`:
//!
//! - *sealed values* ([`Keyring::seal`], [`Keyring::open`]): everything at rest, AES-256-CBC then
//!   HMAC-SHA-256, bound to a scope (a room, or [`USER_DATA_SCOPE`]) and to the caller's
//!   associated data;
//! - *`encryption_data`* ([`Keyring::wrap`], [`Keyring::unwrap_room_key`]): a room's key and IV
//!   under the master key, in the form that existing clients read;
//! - *client content* ([`RoomKey::encrypt`], [`RoomKey::decrypt`]): what such clients send.
//!
//! Must not do: I/O, clocks, async, knowledge of rooms or users (ids come as bytes), or logging.
//! Nothing here prints key material: `Debug` shows key ids, errors show no input.

mod cipher;
mod envelope;
mod keyring;
mod scope_keys;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use cipher::{CipherError, SEALED_OVERHEAD_BYTES_MAX, USER_DATA_SCOPE, sealed_under};
pub use envelope::RoomKey;
pub use keyring::{Keyring, KeyringError, KeyringOptions, MasterKeyHex};
