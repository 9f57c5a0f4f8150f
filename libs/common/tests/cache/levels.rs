//! Where an answer comes from, and when a level is skipped.

use std::time::Duration;

use common::Error;
use common::cache::{CacheBackend, Options};
use testkit::RedisServer;

use super::support::{
    Cache, Loaded, Rows, backend, cache, eventually, key, options, redis_key, versioned,
};

/// How often Redis was asked for values.
fn mgets(server: &RedisServer) -> u64 {
    let stats = server.cli(&["info", "commandstats"]);
    let Some((_, rest)) = stats.split_once("cmdstat_mget:calls=") else {
        return 0;
    };
    rest.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_value_is_loaded_once_then_found_in_redis_then_in_the_process() {
    let server = testkit::redis().await;
    let cache = cache(&server.url).await;
    let rows = Rows::with(1);
    rows.warm(&cache, 0).await;
    assert_eq!(rows.loads(), 1);
    // The push of the first store may still be on its way; once it is through, Redis is left alone.
    eventually("an answer from L1", async || {
        let before = mgets(&server);
        rows.get(&cache, 0).await;
        mgets(&server) == before
    })
    .await;
    assert_eq!(rows.loads(), 1);
}

#[tokio::test]
async fn a_cache_without_room_in_the_process_asks_redis_each_time() {
    let server = testkit::redis().await;
    let nowhere = Options {
        l1_capacity: 0,
        ..options()
    };
    let cache = Cache::new(&backend(&server.url).await, "tier", nowhere);
    let rows = Rows::with(1);
    rows.warm(&cache, 0).await;
    let before = mgets(&server);
    for _ in 0..3 {
        assert_eq!(rows.get(&cache, 0).await, 1);
    }
    assert_eq!(mgets(&server) - before, 3);
    assert_eq!(rows.loads(), 1);

    let cache = Cache::new(&CacheBackend::in_process(), "tier", nowhere);
    for _ in 0..3 {
        assert_eq!(rows.get(&cache, 0).await, 1);
    }
    assert_eq!(rows.loads(), 4, "without Redis the database is asked");
}

#[tokio::test]
async fn a_put_in_one_process_reaches_the_l1_of_another() {
    let server = testkit::redis().await;
    let (here, there) = (cache(&server.url).await, cache(&server.url).await);
    let rows = Rows::with(1);
    rows.warm(&here, 0).await;
    there.put(&key(0), &rows.commit(0)).await;
    eventually("the new version here", async || {
        rows.get(&here, 0).await == 2
    })
    .await;
    assert_eq!(rows.loads(), 1, "the new version came from Redis");
}

#[tokio::test]
async fn caches_of_one_process_hear_of_each_others_puts() {
    let backend = CacheBackend::in_process();
    let here = Cache::new(&backend, "tier", options());
    let there = Cache::new(&backend, "tier", options());
    let other = Cache::new(&backend, "rating", options());
    let rows = Rows::with(1);
    for cache in [&here, &other] {
        assert_eq!(rows.get(cache, 0).await, 1);
    }
    there.put(&key(0), &rows.commit(0)).await;
    assert_eq!(rows.get(&here, 0).await, 2);
    assert_eq!(
        rows.get(&other, 0).await,
        1,
        "a cache of another name is left alone"
    );
}

#[tokio::test]
async fn an_entry_older_than_asked_for_is_skipped_at_each_level() {
    let server = testkit::redis().await;
    let with_redis = cache(&server.url).await;
    let without = Cache::new(&CacheBackend::in_process(), "tier", options());
    for cache in [with_redis, without] {
        let rows = Rows::with(1);
        rows.get(&cache, 0).await;
        rows.get(&cache, 0).await;
        rows.commit(0);
        assert_eq!(rows.get_at_least(&cache, 0, 2).await, 2);
        let behind = cache.get(&key(0), 3, async || rows.load(0)).await;
        assert!(matches!(behind, Err(Error::Behind)), "{behind:?}");
    }
}

#[tokio::test]
async fn a_value_that_no_longer_holds_is_loaded_again_at_the_same_version() {
    let server = testkit::redis().await;
    let with_redis = cache(&server.url).await;
    let without = Cache::new(&CacheBackend::in_process(), "tier", options());
    for cache in [with_redis, without] {
        let gold = async || {
            Ok(Some(common::cache::Versioned {
                version: 1,
                value: "gold".to_owned(),
            }))
        };
        let silver = async || {
            Ok(Some(common::cache::Versioned {
                version: 1,
                value: "silver".to_owned(),
            }))
        };
        cache.get(&key(0), 0, gold).await.unwrap();
        cache.get(&key(0), 0, gold).await.unwrap();
        let found = cache
            .get_valid(&key(0), 0, |tier| tier != "gold", silver)
            .await
            .unwrap();
        assert_eq!(found.unwrap().value, "silver");
        let unreachable = async || -> Loaded { panic!("it is cached") };
        eventually("silver from the cache", async || {
            let found = cache.get(&key(0), 0, unreachable).await.unwrap();
            found.unwrap().value == "silver"
        })
        .await;
    }
}

#[tokio::test]
async fn absence_and_errors_are_passed_on_and_not_cached() {
    let server = testkit::redis().await;
    let cache = cache(&server.url).await;
    let failing = async || -> Loaded { Err(Error::Internal("broken".to_owned())) };
    assert!(matches!(
        cache.get(&key(0), 0, failing).await,
        Err(Error::Internal(_))
    ));
    assert_eq!(
        cache.get(&key(0), 7, async || Ok(None)).await.unwrap(),
        None
    );
    assert_eq!(Rows::with(1).get(&cache, 0).await, 1);
}

#[tokio::test]
async fn what_redis_holds_but_nobody_understands_counts_as_absent() {
    let server = testkit::redis().await;
    let cache = cache(&server.url).await;
    let rows = Rows::with(4);
    server.cli(&["set", &redis_key(0), "nonsense"]);
    server.cli(&[
        "set",
        &redis_key(1),
        "0000000000000000009={\"not\":\"text\"}",
    ]);
    server.cli(&["set", &redis_key(2), ""]);
    server.cli(&["lpush", &redis_key(3), "a list"]);
    for number in 0..4 {
        assert_eq!(rows.get(&cache, number).await, 1);
    }
}

#[tokio::test]
async fn entries_expire_in_redis_and_in_the_process() {
    let server = testkit::redis().await;
    let backend = backend(&server.url).await;
    let short = Options {
        l1_ttl: Duration::from_millis(5),
        l2_ttl: Duration::from_millis(50),
        ..options()
    };
    let cache = Cache::new(&backend, "tier", short);
    cache.put(&key(0), &versioned(1)).await;
    let left: i64 = server.cli(&["pttl", &redis_key(0)]).trim().parse().unwrap();
    assert!(left <= 50, "{left}");

    // Nobody announces the second version: only time removes the first.
    let rows = Rows::with(1);
    for cache in [
        cache,
        Cache::new(&CacheBackend::in_process(), "tier", short),
    ] {
        rows.get(&cache, 0).await;
        rows.get(&cache, 0).await;
        let newer = rows.commit(0).version;
        eventually("the newer version", async || {
            rows.get(&cache, 0).await == newer
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_news_nothing_is_believed_for_long() {
    for (backend, expected) in [
        (CacheBackend::without_news(), 2),
        (CacheBackend::in_process(), 1),
    ] {
        let cache = Cache::new(&backend, "tier", options());
        let rows = Rows::with(1);
        assert_eq!(rows.get(&cache, 0).await, 1);
        rows.commit(0);
        assert_eq!(rows.get(&cache, 0).await, 1, "for a moment");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(rows.get(&cache, 0).await, expected);
    }
}

#[tokio::test]
async fn a_url_that_makes_no_sense_is_refused() {
    for url in ["", "http://localhost", "redis://:port"] {
        assert!(
            matches!(CacheBackend::redis(url, false).await, Err(Error::Config(_))),
            "{url}"
        );
    }
}
