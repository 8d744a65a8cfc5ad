//! Lists over all rooms or users: cut into buckets, so that no partition holds everyone, and merged by id.

use futures_util::{StreamExt, TryStreamExt, stream};
use xxhash_rust::xxh3::xxh3_64;

use crate::storage::Result;

/// Partitions of a list. Stored: never changed.
pub(super) const BUCKETS: i32 = 32;

/// Partitions read at once.
const AT_ONCE: usize = 16;

/// The partition that this key is in.
pub(super) fn bucket(key: &[u8]) -> i32 {
    let bucket = xxh3_64(key) % u64::from(BUCKETS.unsigned_abs());
    i32::try_from(bucket).unwrap_or_default()
}

/// The first `limit` keys of all buckets together, in order. `page` gives the first ones of a bucket, in order.
pub(super) async fn merged<K: Ord, F>(limit: usize, page: impl FnMut(i32) -> F) -> Result<Vec<K>>
where
    F: Future<Output = Result<Vec<K>>>,
{
    if limit == 0 {
        return Ok(Vec::new());
    }
    let pages: Vec<Vec<K>> = stream::iter(0..BUCKETS).map(page).buffered(AT_ONCE).try_collect().await?;
    let mut keys: Vec<K> = pages.into_iter().flatten().collect();
    keys.sort_unstable();
    keys.truncate(limit);
    Ok(keys)
}
