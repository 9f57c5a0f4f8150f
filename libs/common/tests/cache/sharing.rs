//! Concurrent misses share one load.

use std::sync::Arc;

use common::Error;
use common::cache::CacheBackend;
use futures::future::join_all;
use tokio::sync::Barrier;

use super::support::{Cache, Rows, key, options, versioned};

fn cache() -> Cache {
    Cache::new(&CacheBackend::in_process(), "tier", options())
}

#[tokio::test]
async fn concurrent_misses_of_one_key_load_once() {
    let (cache, rows) = (cache(), Rows::with(1));
    let slow = async || {
        tokio::task::yield_now().await;
        rows.load(0)
    };
    let name = key(0);
    let found = join_all((0..50).map(|_| cache.get(&name, 0, slow))).await;
    assert!(
        found
            .into_iter()
            .all(|found| found.unwrap() == Some(versioned(1)))
    );
    assert_eq!(rows.loads(), 1);
}

#[tokio::test]
async fn an_absence_is_shared_unless_the_caller_knows_better() {
    let (cache, rows) = (cache(), Rows::default());
    let slow = async || {
        tokio::task::yield_now().await;
        rows.load(0)
    };
    let name = key(0);
    let (first, second) = tokio::join!(cache.get(&name, 0, slow), cache.get(&name, 0, slow));
    assert_eq!(
        (first.unwrap(), second.unwrap(), rows.loads()),
        (None, None, 1)
    );
    let (first, second) = tokio::join!(cache.get(&name, 0, slow), cache.get(&name, 1, slow));
    assert_eq!(
        (first.unwrap(), second.unwrap(), rows.loads()),
        (None, None, 3)
    );
}

#[tokio::test]
async fn a_failed_load_fails_its_own_caller_only() {
    let (cache, rows) = (cache(), Rows::with(1));
    let name = key(0);
    let failing = cache.get(&name, 0, async || {
        tokio::task::yield_now().await;
        Err(Error::Internal("broken".to_owned()))
    });
    let (failed, found) = tokio::join!(failing, cache.get(&name, 0, async || rows.load(0)));
    assert!(failed.is_err());
    assert_eq!(found.unwrap(), Some(versioned(1)));
}

#[tokio::test]
async fn a_cancelled_load_does_not_hold_up_others() {
    let (cache, rows) = (cache(), Rows::with(1));
    let name = key(0);
    let stuck = cache.get(&name, 0, std::future::pending);
    let cancelled = tokio::time::timeout(std::time::Duration::from_millis(5), stuck);
    let (cancelled, found) = tokio::join!(cancelled, cache.get(&name, 0, async || rows.load(0)));
    assert!(cancelled.is_err());
    assert_eq!(found.unwrap(), Some(versioned(1)));
}

#[tokio::test]
async fn nobody_joins_a_load_from_before_a_put() {
    let (cache, rows) = (cache(), Rows::with(1));
    let (loaded, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let name = key(0);
    let early = cache.get(&name, 0, async || {
        let found = rows.load(0);
        loaded.wait().await;
        go_on.wait().await;
        found
    });
    let late = async {
        loaded.wait().await;
        cache.put(&key(0), &rows.commit(0)).await;
        let late = rows.get(&cache, 0).await;
        go_on.wait().await;
        late
    };
    let (early, late) = tokio::join!(early, late);
    assert_eq!((early.unwrap().unwrap().version, late), (1, 2));
    assert_eq!(rows.get(&cache, 0).await, 2);
}
