//! Between the embedded store and a real PostgreSQL server, and back, also cut off in the middle.

use std::{sync::Arc, time::Duration};

use super::{assert_equal, compared, copied, memory, options, town};
use crate::storage::{Store, migrate, postgres::tests::open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back() {
    let Some((store, _guard)) = open().await else {
        return;
    };
    let postgres: Arc<dyn Store> = Arc::new(store);
    let (from, back) = (town().await, memory());
    let mut deaths = 0;
    for after_ms in (20..400).step_by(40) {
        let copy = migrate::copy(Arc::clone(&from), Arc::clone(&postgres), options(), Arc::default());
        deaths += u32::from(tokio::time::timeout(Duration::from_millis(after_ms), copy).await.is_err());
    }
    assert!(deaths > 2, "it was too fast to be cut off: {deaths}");
    copied(&from, &postgres).await.unwrap();
    assert_equal(&compared(&from, &postgres).await);
    copied(&postgres, &back).await.unwrap();
    assert_equal(&compared(&from, &back).await);
    postgres.put_profile(super::ANA, super::bytes("x")).await.unwrap();
    assert!(!compared(&from, &postgres).await.equal);
    copied(&from, &postgres).await.unwrap();
    assert_equal(&compared(&from, &postgres).await);
}
