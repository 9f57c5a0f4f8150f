//! Redis flushed, stopped, out of reach, slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::cache::CacheBackend;
use tokio::task::JoinSet;

use super::proxy::Proxy;
use super::support::{
    Cache, Rows, backend, cache, eventually, key, options, patient, redis_key, wait_until_online,
};

const KEYS: usize = 40;

/// Readers and writers of one process go on until told to stop. Their tokens are the versions that
/// a `put` has announced.
struct Load {
    rows: Rows,
    tokens: Vec<AtomicI64>,
    stop: AtomicBool,
}

impl Load {
    async fn write(&self, cache: &Cache, seed: usize) {
        for step in 0.. {
            let number = (step * 7 + seed) % KEYS;
            let new = self.rows.commit(number);
            cache.put(&key(number), &new).await;
            self.tokens[number].fetch_max(new.version, Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the number of lookups.
    async fn read(&self, cache: &Cache, seed: usize) -> usize {
        for step in 0.. {
            let number = (step * 3 + seed) % KEYS;
            let token = self.tokens[number].load(Ordering::SeqCst);
            // Within the process that wrote, also without the token.
            let at_least = if step % 2 == 0 { token } else { 0 };
            let found = self.rows.get_at_least(cache, number, at_least).await;
            assert!(found >= token, "{found} is older than {token}");
            if self.stop.load(Ordering::SeqCst) {
                return step;
            }
            tokio::task::yield_now().await;
        }
        unreachable!("the loop has no end")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_and_restarts_under_load_cause_no_error_and_nothing_old() {
    let server = testkit::redis().await;
    let backend = backend(&server.url).await;
    let cache = Cache::new(&backend, "tier", options());
    let load = Arc::new(Load {
        rows: Rows::with(KEYS),
        tokens: (0..KEYS).map(|_| AtomicI64::new(1)).collect(),
        stop: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for seed in 0..8 {
        let (load, cache) = (Arc::clone(&load), cache.clone());
        tasks.spawn(async move {
            if seed < 2 {
                load.write(&cache, seed).await;
                return 0;
            }
            load.read(&cache, seed).await
        });
    }
    for _ in 0..3 {
        for _ in 0..20 {
            server.flush();
        }
        server.stop();
        wait_until_online(&backend, false).await;
        server.start();
        wait_until_online(&backend, true).await;
    }
    load.stop.store(true, Ordering::SeqCst);
    let mut lookups = 0;
    while let Some(done) = tasks.join_next().await {
        lookups += done.unwrap();
    }
    assert!(lookups > 1_000, "{lookups}");
    for number in 0..KEYS {
        let newest = load.rows.current(number).unwrap().version;
        assert_eq!(load.rows.get(&cache, number).await, newest);
    }
}

#[tokio::test]
async fn a_flush_empties_the_process_too() {
    let server = testkit::redis().await;
    let cache = cache(&server.url).await;
    let rows = Rows::with(1);
    rows.warm(&cache, 0).await;
    rows.commit(0);
    server.flush();
    eventually("a new load", async || rows.get(&cache, 0).await == 2).await;
}

#[tokio::test]
async fn a_lost_connection_bypasses_the_process_until_changes_are_heard_again() {
    let server = testkit::redis().await;
    let proxy = Proxy::before(&server.url).await;
    let near = backend(&proxy.url).await;
    let reader = Cache::new(&near, "tier", options());
    let writer = cache(&server.url).await;
    let rows = Rows::with(1);
    rows.warm(&reader, 0).await;

    proxy.cut();
    wait_until_online(&near, false).await;
    writer.put(&key(0), &rows.commit(0)).await;
    let before = rows.loads();
    for _ in 0..3 {
        assert_eq!(rows.get(&reader, 0).await, 2);
    }
    assert_eq!(rows.loads(), before + 3, "nothing is cached");

    proxy.restore();
    wait_until_online(&near, true).await;
    assert_eq!(rows.get(&reader, 0).await, 2);
    assert_eq!(rows.loads(), before + 3, "Redis answers again");
    writer.put(&key(0), &rows.commit(0)).await;
    eventually("changes are heard again", async || {
        rows.get(&reader, 0).await == 3
    })
    .await;
}

#[tokio::test]
async fn what_redis_missed_it_is_told_when_it_is_back() {
    let server = testkit::redis().await;
    let proxy = Proxy::before(&server.url).await;
    let near = backend(&proxy.url).await;
    let writer = Cache::new(&near, "tier", options());
    let reader = cache(&server.url).await;
    let rows = Rows::with(2);
    for number in 0..2 {
        rows.warm(&reader, number).await;
    }

    proxy.cut();
    wait_until_online(&near, false).await;
    writer.put(&key(0), &rows.commit(0)).await;
    rows.delete(1);
    writer.invalidate(&key(1)).await;
    assert!(server.cli(&["get", &redis_key(0)]).contains("v1"));

    proxy.restore();
    wait_until_online(&near, true).await;
    eventually("the new version", async || rows.get(&reader, 0).await == 2).await;
    eventually("the deletion", async || {
        let found = reader.get(&key(1), 0, async || rows.load(1)).await;
        found.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_stalls_is_given_up_after_a_few_timeouts() {
    let server = testkit::redis().await;
    let proxy = Proxy::before(&server.url).await;
    let near = CacheBackend::redis(&proxy.url, false).await.unwrap();
    wait_until_online(&near, true).await;
    let cache = Cache::new(&near, "tier", options());
    let rows = Rows::with(2_000);

    proxy.stall();
    let began = Instant::now();
    for number in 0..2_000 {
        assert_eq!(rows.get(&cache, number).await, 1);
    }
    // Each lookup waits 100 ms at most, and few do.
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
    wait_until_online(&near, false).await;

    proxy.restore();
    wait_until_online(&near, true).await;
    let loads = rows.loads();
    eventually("an answer without a load", async || {
        rows.get(&cache, 0).await;
        let loaded = rows.loads() - loads;
        rows.get(&cache, 0).await;
        rows.loads() - loads == loaded
    })
    .await;
}

#[tokio::test]
async fn what_a_full_redis_refuses_to_take_is_not_missed_here() {
    let server = testkit::redis().await;
    let (cache, other) = (cache(&server.url).await, cache(&server.url).await);
    let rows = Rows::with(1);
    rows.warm(&cache, 0).await;
    rows.warm(&other, 0).await;
    server.cli(&["config", "set", "maxmemory", "1"]);
    cache.put(&key(0), &rows.commit(0)).await;
    assert!(server.cli(&["get", &redis_key(0)]).contains("v1"));
    for _ in 0..2 {
        assert_eq!(rows.get(&cache, 0).await, 2);
    }
    server.cli(&["config", "set", "maxmemory", "0"]);
    eventually("the others hear of it", async || {
        rows.get(&other, 0).await == 2
    })
    .await;
}

#[tokio::test]
async fn a_process_starts_without_redis_and_finds_it_later() {
    let server = testkit::redis().await;
    server.stop();
    let backend = CacheBackend::redis_with(&server.url, patient())
        .await
        .unwrap();
    let cache = Cache::new(&backend, "tier", options());
    let rows = Rows::with(1);
    assert_eq!(rows.get(&cache, 0).await, 1);
    server.start();
    wait_until_online(&backend, true).await;
    rows.warm(&cache, 0).await;
    assert_eq!(rows.loads(), 2);
}
