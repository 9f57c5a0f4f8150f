//! A pretend database, and patience without sleeping.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Error;
use common::cache::{CacheBackend, Key, Options, RedisOptions, Versioned, VersionedCache};
use common::ids::CustomerId;

pub type Cache = VersionedCache<String>;
pub type Loaded = Result<Option<Versioned<String>>, Error>;

/// The version is in the value, so that a mix-up would show.
pub fn versioned(version: i64) -> Versioned<String> {
    Versioned {
        version,
        value: format!("v{version}"),
    }
}

pub fn key(number: usize) -> Key {
    Key::new(
        &["default"],
        &CustomerId::parse(&format!("c{number}")).unwrap(),
    )
}

pub fn redis_key(number: usize) -> String {
    format!("asterism:tier:{}", key(number))
}

/// L1 entries outlive the test, so that only invalidations can remove them.
pub fn options() -> Options {
    Options {
        l1_ttl: Duration::from_mins(10),
        ..Options::default()
    }
}

/// Patient, so that a busy machine does not look like a slow Redis.
pub fn patient() -> RedisOptions {
    RedisOptions {
        response_timeout: Duration::from_secs(10),
        ..RedisOptions::default()
    }
}

pub async fn backend(url: &str) -> CacheBackend {
    let backend = CacheBackend::redis_with(url, patient()).await.unwrap();
    wait_until_online(&backend, true).await;
    backend
}

pub async fn cache(url: &str) -> Cache {
    Cache::new(&backend(url).await, "tier", options())
}

pub async fn wait_until_online(backend: &CacheBackend, wanted: bool) {
    let mut online = backend.online();
    let change = online.wait_for(|online| *online == wanted);
    tokio::time::timeout(testkit::PATIENCE, change)
        .await
        .expect("in time")
        .unwrap();
}

/// Asks again and again, giving way to others between.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < testkit::PATIENCE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// Rows with versions, and how often they were read.
#[derive(Default)]
pub struct Rows {
    versions: Mutex<HashMap<usize, i64>>,
    loads: AtomicUsize,
}

impl Rows {
    /// Numbers below `count`, each at version 1.
    pub fn with(count: usize) -> Self {
        let versions = (0..count).map(|number| (number, 1)).collect();
        Self {
            versions: Mutex::new(versions),
            loads: AtomicUsize::new(0),
        }
    }

    pub fn current(&self, number: usize) -> Option<Versioned<String>> {
        self.versions
            .lock()
            .unwrap()
            .get(&number)
            .copied()
            .map(versioned)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what a loader returns")]
    pub fn load(&self, number: usize) -> Loaded {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.current(number))
    }

    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Raises the row's version by one.
    pub fn commit(&self, number: usize) -> Versioned<String> {
        let mut versions = self.versions.lock().unwrap();
        let version = versions.entry(number).or_default();
        *version += 1;
        versioned(*version)
    }

    pub fn delete(&self, number: usize) {
        self.versions.lock().unwrap().remove(&number);
    }

    /// A plain lookup through `cache`: the version found.
    pub async fn get(&self, cache: &Cache, number: usize) -> i64 {
        self.get_at_least(cache, number, 0).await
    }

    pub async fn get_at_least(&self, cache: &Cache, number: usize, at_least: i64) -> i64 {
        let found = cache
            .get(&key(number), at_least, async || self.load(number))
            .await;
        let found = found.unwrap().expect("the row exists");
        assert_eq!(found, versioned(found.version));
        found.version
    }

    /// Reads until a lookup needs no load, so that the next one comes from L1.
    pub async fn warm(&self, cache: &Cache, number: usize) {
        // From the database to L2, then (past the push that this write causes, and any that an
        // earlier write or flush of the test still has under way) from L2 to L1.
        eventually("a lookup without a load", async || {
            let loaded = AtomicBool::new(false);
            let load = async || {
                loaded.store(true, Ordering::SeqCst);
                self.load(number)
            };
            cache.get(&key(number), 0, load).await.unwrap();
            !loaded.into_inner()
        })
        .await;
    }
}
