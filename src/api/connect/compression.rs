//! Compression of single messages: identity and gzip.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{bufread::MultiGzDecoder, write::GzEncoder};

use super::error::{Code, ConnectError};

/// What is advertised to clients.
pub(super) const ACCEPTED: &str = "gzip";

/// How a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
}

impl Compression {
    /// The compression that a request declares; nothing means identity.
    ///
    /// # Errors
    /// `unimplemented` for any other name, as the protocol demands.
    pub(super) fn declared(name: Option<&[u8]>) -> Result<Self, ConnectError> {
        match name {
            None | Some(b"" | b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => Err(ConnectError::new(
                Code::Unimplemented,
                format!("unknown compression {:?}: supported encodings are {ACCEPTED}", String::from_utf8_lossy(other)),
            )),
        }
    }

    /// The best compression that a list such as `gzip;q=0.8, br` allows.
    pub(super) fn accepted(list: &str) -> Self {
        let gzip = list.split(',').any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            named && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if gzip { Self::Gzip } else { Self::Identity }
    }

    /// Undoes the compression, reading at most `max_bytes`.
    ///
    /// # Errors
    /// `resource_exhausted` when the result would be larger (a small message may promise gigabytes), and
    /// `invalid_argument` when it is not gzip.
    pub(super) fn decompress(self, message: Bytes, max_bytes: usize) -> Result<Bytes, ConnectError> {
        // An empty message is allowed to come without the compression's own header.
        if self == Self::Identity || message.is_empty() {
            return Ok(message);
        }
        let mut plain = Vec::with_capacity(message.len().saturating_mul(2).min(max_bytes));
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        MultiGzDecoder::new(message.as_ref()).take(limit).read_to_end(&mut plain).map_err(|cause| {
            ConnectError::new(Code::InvalidArgument, format!("message cannot be decompressed: {cause}"))
        })?;
        if plain.len() > max_bytes {
            return Err(ConnectError::too_large(max_bytes));
        }
        Ok(plain.into())
    }

    /// Compresses a message, favouring speed: responses are small and many.
    ///
    /// # Errors
    /// `internal`, which writing into memory never gives.
    pub(super) fn compress(self, message: Bytes) -> Result<Bytes, ConnectError> {
        if self == Self::Identity {
            return Ok(message);
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), flate2::Compression::fast());
        encoder
            .write_all(&message)
            .and_then(|()| encoder.finish())
            .map(Bytes::from)
            .map_err(|cause| ConnectError::new(Code::Internal, format!("response cannot be compressed: {cause}")))
    }
}
