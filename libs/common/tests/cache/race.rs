//! Reads that a write overtakes, forced to meet.

use std::sync::Arc;

use common::cache::CacheBackend;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::support::{Cache, Rows, cache, eventually, key, options};

const KEYS: usize = 3_000;
/// A key of its own, beyond the others.
const LAST: usize = KEYS;

/// Pushes arrive in order: once `reader` has heard of the last key, it has heard of all.
async fn wait_for_pushes(reader: &Cache, writer: &Cache, rows: &Rows) {
    rows.warm(reader, LAST).await;
    let newest = rows.commit(LAST);
    writer.put(&key(LAST), &newest).await;
    eventually("the last push", async || {
        rows.get(reader, LAST).await == newest.version
    })
    .await;
}

async fn stale(reader: &Cache, rows: &Rows) -> usize {
    let mut stale = 0;
    for number in 0..KEYS {
        // Twice: what the first lookup takes from Redis must not be wrong in the process either.
        for _ in 0..2 {
            let newest = rows.current(number).unwrap().version;
            stale += usize::from(rows.get(reader, number).await < newest);
        }
    }
    stale
}

/// Every reader has loaded the old version and is about to keep it when the new one is put.
async fn overtake_loads(reader: &Cache, writer: &Cache) -> usize {
    let rows = Arc::new(Rows::with(KEYS + 1));
    let mut tasks = JoinSet::new();
    for number in 0..KEYS {
        let (rows, reader, writer) = (Arc::clone(&rows), reader.clone(), writer.clone());
        tasks.spawn(async move {
            let (fetched, written) = (Barrier::new(2), Barrier::new(2));
            let name = key(number);
            let read = reader.get(&name, 0, async || {
                let loaded = rows.load(number);
                fetched.wait().await;
                written.wait().await;
                loaded
            });
            let write = async {
                fetched.wait().await;
                writer.put(&key(number), &rows.commit(number)).await;
                written.wait().await;
            };
            let (found, ()) = tokio::join!(read, write);
            assert_eq!(
                found.unwrap().unwrap().version,
                1,
                "it was loaded before the commit"
            );
            assert_eq!(rows.get_at_least(&reader, number, 2).await, 2);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    wait_for_pushes(reader, writer, &rows).await;
    stale(reader, &rows).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_overtaken_by_another_process_is_not_kept() {
    let server = testkit::redis().await;
    let (reader, writer) = (cache(&server.url).await, cache(&server.url).await);
    assert_eq!(overtake_loads(&reader, &writer).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_overtaken_in_the_same_process_is_not_kept() {
    let backend = CacheBackend::in_process();
    let reader = Cache::new(&backend, "tier", options());
    let rows = Arc::new(Rows::with(KEYS));
    let mut tasks = JoinSet::new();
    for number in 0..KEYS {
        let (rows, cache) = (Arc::clone(&rows), reader.clone());
        tasks.spawn(async move {
            let name = key(number);
            let read = cache.get(&name, 0, async || {
                let loaded = rows.load(number);
                cache.put(&key(number), &rows.commit(number)).await;
                loaded
            });
            read.await.unwrap();
            assert_eq!(rows.get(&cache, number).await, 2, "a put is seen at once");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(stale(&reader, &rows).await, 0);
}

/// The old version is in Redis: fetches from there race against the put of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_from_redis_overtaken_by_another_process_is_not_kept() {
    let server = testkit::redis().await;
    let (reader, writer) = (cache(&server.url).await, cache(&server.url).await);
    let rows = Arc::new(Rows::with(KEYS + 1));
    let mut tasks = JoinSet::new();
    for number in 0..KEYS {
        writer
            .put(&key(number), &rows.current(number).unwrap())
            .await;
        let (here, there) = (Arc::clone(&rows), Arc::clone(&rows));
        let (reader, writer) = (reader.clone(), writer.clone());
        tasks.spawn(async move {
            for _ in 0..4 {
                here.get(&reader, number).await;
            }
        });
        tasks.spawn(async move { writer.put(&key(number), &there.commit(number)).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    wait_for_pushes(&reader, &writer, &rows).await;
    assert_eq!(stale(&reader, &rows).await, 0);
}

/// With nothing left in Redis to compare with, only the counters keep the old version out of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_overtaken_by_a_put_that_redis_forgot_is_not_kept() {
    let server = testkit::redis().await;
    let (reader, writer) = (cache(&server.url).await, cache(&server.url).await);
    let rows = Rows::with(KEYS + 1);
    let name = key(0);
    let overtaken = reader.get(&name, 0, async || {
        let loaded = rows.load(0);
        writer.put(&key(0), &rows.commit(0)).await;
        server.flush();
        wait_for_pushes(&reader, &writer, &rows).await;
        loaded
    });
    assert_eq!(
        overtaken.await.unwrap().unwrap().version,
        1,
        "it was loaded before the commit"
    );
    assert_eq!(rows.get(&reader, 0).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_overtaken_by_a_deletion_is_not_kept() {
    let server = testkit::redis().await;
    let (reader, writer) = (cache(&server.url).await, cache(&server.url).await);
    let rows = Rows::with(KEYS);
    for number in 0..KEYS / 10 {
        let name = key(number);
        let overtaken = reader.get(&name, 0, async || {
            let loaded = rows.load(number);
            rows.delete(number);
            writer.invalidate(&key(number)).await;
            loaded
        });
        assert!(
            overtaken.await.unwrap().is_some(),
            "it was loaded before the deletion"
        );
        let after = reader
            .get(&key(number), 0, async || rows.load(number))
            .await;
        assert_eq!(after.unwrap(), None);
    }
}
