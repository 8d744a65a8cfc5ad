//! What belongs to users: profiles and devices.

use bytes::Bytes;

use super::{bytes_of, corrupt, parse, small, stored};
use crate::storage::Result;

/// A user's profile: name and picture.
#[must_use]
pub fn encode_profile(name: &str, picture: &str) -> Bytes {
    bytes_of(&stored::Profile { name: name.to_owned(), picture: picture.to_owned() })
}

/// Reads [`encode_profile`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_profile(bytes: &[u8]) -> Result<(String, String)> {
    let profile: stored::Profile = parse(bytes)?;
    Ok((profile.name, profile.picture))
}

/// A device's token, its platform's number, and when it was registered (milliseconds since the Unix epoch).
#[must_use]
pub fn encode_device(token: &str, platform: u8, registered_at_ms: i64) -> Bytes {
    bytes_of(&stored::Device { token: token.to_owned(), platform: u32::from(platform), registered_at_ms })
}

/// Reads [`encode_device`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_device(bytes: &[u8]) -> Result<(String, u8, i64)> {
    let device: stored::Device = parse(bytes)?;
    let platform = small(device.platform).ok_or_else(|| corrupt("platform"))?;
    Ok((device.token, platform, device.registered_at_ms))
}
