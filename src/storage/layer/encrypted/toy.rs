//! A sealer for tests: bytes differ each time, are bound to scope and aad, and hide nothing from anyone.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{SealError, Sealer};

/// Counter, masked body, checksum.
#[derive(Debug, Default)]
pub(crate) struct ToySealer {
    counter: AtomicU64,
}

fn mask(nonce: &[u8], body: &[u8]) -> Vec<u8> {
    body.iter().zip(nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask ^ 0x5a).collect()
}

fn checksum(scope: &[u8], aad: &[u8], body: &[u8]) -> [u8; 8] {
    let mut digest = Sha256::new();
    for part in [scope, aad, body] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    std::array::from_fn(|place| digest.clone().finalize()[place])
}

impl Sealer for ToySealer {
    fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut sealed = [&nonce[..], &mask(&nonce, plain)].concat();
        sealed.extend_from_slice(&checksum(scope, aad, &sealed));
        sealed
    }

    fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (body, sum) = sealed.split_last_chunk::<8>().ok_or(SealError)?;
        let (nonce, masked) = body.split_first_chunk::<8>().ok_or(SealError)?;
        if checksum(scope, aad, body) != *sum {
            return Err(SealError);
        }
        Ok(mask(nonce, masked))
    }
}
