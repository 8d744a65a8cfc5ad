//! What belongs to users: profiles and devices.

use bytes::Bytes;

use super::{bytes_of, corrupt, parse, small, stored};
use crate::{
    domain::{
        privacy::WhoMayAdd,
        profile::{Names, Stamp, Stamped},
    },
    storage::Result,
};

/// A user's profile: name and picture.
#[must_use]
pub fn encode_profile(name: &str, picture: &str) -> Bytes {
    bytes_of(&stored::Profile { name: name.to_owned(), picture: picture.to_owned(), ..Default::default() })
}

/// Reads [`encode_profile`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_profile(bytes: &[u8]) -> Result<(String, String)> {
    let profile: stored::Profile = parse(bytes)?;
    Ok((profile.name, profile.picture))
}

/// The profile in `body` (empty for none yet) with this name and picture; what else it holds stays.
///
/// # Errors
/// `Corrupt`.
pub fn with_names(body: &[u8], names: &Names) -> Result<Bytes> {
    let mut profile: stored::Profile = parse(body)?;
    profile.name.clone_from(&names.name.text);
    profile.picture.clone_from(&names.picture.text);
    (profile.name_issued_at_ms, profile.name_expires_at_ms) =
        (names.name.stamp.issued_at_ms, names.name.stamp.expires_at_ms);
    (profile.picture_issued_at_ms, profile.picture_expires_at_ms) =
        (names.picture.stamp.issued_at_ms, names.picture.stamp.expires_at_ms);
    Ok(bytes_of(&profile))
}

/// Reads [`with_names`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_names(body: &[u8]) -> Result<Names> {
    let profile: stored::Profile = parse(body)?;
    let stamp = |issued_at_ms, expires_at_ms| Stamp { issued_at_ms, expires_at_ms };
    Ok(Names {
        name: Stamped { stamp: stamp(profile.name_issued_at_ms, profile.name_expires_at_ms), text: profile.name },
        picture: Stamped {
            stamp: stamp(profile.picture_issued_at_ms, profile.picture_expires_at_ms),
            text: profile.picture,
        },
    })
}

/// The profile in `body` (empty for none yet) with this setting; what else it holds stays.
///
/// # Errors
/// `Corrupt`.
pub fn with_privacy(body: &[u8], who_may_add: WhoMayAdd) -> Result<Bytes> {
    let profile: stored::Profile = parse(body)?;
    Ok(bytes_of(&stored::Profile { who_may_add: who_may_add as u32, ..profile }))
}

/// Reads [`with_privacy`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_privacy(body: &[u8]) -> Result<WhoMayAdd> {
    let profile: stored::Profile = parse(body)?;
    small(profile.who_may_add).and_then(WhoMayAdd::from_number).ok_or_else(|| corrupt("who may add"))
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
