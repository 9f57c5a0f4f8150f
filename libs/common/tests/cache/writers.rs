//! Versions never go backwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::cache::CacheBackend;
use tokio::task::JoinSet;

use super::support::{Cache, Rows, cache, key, options, redis_key, versioned};

const WRITERS: usize = 8;
const WRITES: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn redis_and_l1_never_go_back_under_eight_writers() {
    let server = testkit::redis().await;
    let reader = cache(&server.url).await;
    let finished = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (cache, finished) = (cache(&server.url).await, Arc::clone(&finished));
        writers.spawn(async move {
            for round in 0..WRITES {
                // Late by up to a round: what a slow process would put.
                let version = (round / 2 * 2 + (round + 1) % 2) * WRITERS + writer + 1;
                cache
                    .put(&key(0), &versioned(i64::try_from(version).unwrap()))
                    .await;
            }
            finished.fetch_add(1, Ordering::SeqCst);
        });
    }
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let (mut in_redis, mut in_cache) = (String::new(), 0);
    let mut through = false;
    while !through {
        through = finished.load(Ordering::SeqCst) == WRITERS;
        let get = redis::cmd("GET")
            .arg(redis_key(0))
            .query_async(&mut raw)
            .await;
        let held: Option<String> = get.unwrap();
        let held = held.map(|held| held[..19].to_owned()).unwrap_or_default();
        assert!(held >= in_redis, "{held} after {in_redis}");
        in_redis = held;
        if let Some(found) = reader.get(&key(0), 0, async || Ok(None)).await.unwrap() {
            assert!(
                found.version >= in_cache,
                "{} after {in_cache}",
                found.version
            );
            in_cache = found.version;
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(in_redis.parse::<usize>().unwrap(), WRITERS * WRITES);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_never_goes_back_under_eight_writers_without_redis() {
    let cache = Cache::new(&CacheBackend::in_process(), "tier", options());
    let rows = Arc::new(Rows::with(1));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (cache, rows) = (cache.clone(), Arc::clone(&rows));
        writers.spawn(async move {
            for _ in 0..WRITES {
                let new = rows.commit(0);
                cache.put(&key(0), &new).await;
                assert!(
                    rows.get(&cache, 0).await >= new.version,
                    "a put is seen at once"
                );
            }
        });
    }
    let mut seen = 0;
    let mut running = true;
    while running {
        running = !writers.is_empty();
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        let found = rows.get(&cache, 0).await;
        assert!(found >= seen, "{found} after {seen}");
        seen = found;
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, rows.current(0).unwrap().version);
}
