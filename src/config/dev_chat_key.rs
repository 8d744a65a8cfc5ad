//! The master key of a server that nobody configured: made at the first start, kept in the data
//! directory, in the form of the two variables that would replace it.

use std::io;
use std::path::Path;

use tracing::warn;
use zeroize::Zeroizing;

use super::keys;
use super::value::{MASTER_IV_LEN, MASTER_KEY_LEN};
use super::{ConfigError, MasterKey};
use crate::secret_file;

/// The key's file in the data directory: `CHAT_KEY=` and `CHAT_IV=` with hexadecimal digits.
pub const FILE_NAME: &str = "dev-chat.key";

/// The number that it writes beside what it encrypts. It never changes, since the key never does.
pub(super) const GENERATED_KEY_ID: u8 = 1;

/// Reads the file, or makes it with random content.
pub(super) fn load_or_create(data_dir: &Path) -> Result<MasterKey, ConfigError> {
    let path = data_dir.join(FILE_NAME);
    let error = |source| ConfigError::KeyFile { path: path.clone(), source };
    let content = secret_file::read_or_create(&path, generate).map(Zeroizing::new).map_err(error)?;
    if secret_file::is_open_to_others(&path).unwrap_or(false) {
        warn!(path = %path.display(), "generated master key can be read by others: chmod 600");
    }
    let text = str::from_utf8(&content).unwrap_or("");
    match (digits(text, "CHAT_KEY", "encryption.key"), digits(text, "CHAT_IV", "encryption.iv")) {
        (Some(key), Some(iv)) => Ok(MasterKey { key_id: GENERATED_KEY_ID, key: key.into(), iv: iv.into() }),
        _ => Err(error(io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not hold CHAT_KEY= and CHAT_IV= with 64 and 32 hexadecimal digits",
        ))),
    }
}

fn generate() -> io::Result<Vec<u8>> {
    let mut random = Zeroizing::new([0_u8; MASTER_KEY_LEN + MASTER_IV_LEN]);
    getrandom::fill(random.as_mut_slice()).map_err(io::Error::other)?;
    let (key, iv) = random.split_at(MASTER_KEY_LEN);
    Ok(format!("CHAT_KEY={}\nCHAT_IV={}\n", hex::encode(key), hex::encode(iv)).into_bytes())
}

/// The value of a line `NAME=value`, if it is one that the key would take.
fn digits<'a>(text: &'a str, name: &str, path: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    let kind = keys::find(path)?.kind;
    (!value.is_empty() && kind.parse(value).is_some()).then_some(value)
}
