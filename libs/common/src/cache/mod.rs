//! Cached values with versions: L1 (in this process), L2 (Redis, if there is one), then the
//! loader (the database).
//!
//! Every value carries the version of the row it was computed from. An entry older than the caller
//! asks for is skipped at each level, and no level goes back to an older version.
//!
//! - **L1** is filled by reads only, under a guard: the generation counter of the key is read before
//!   the fetch and compared when the value is kept. Whoever changes a key bumps its counter: a `put`
//!   in this process, an invalidation pushed by Redis for all others. While no invalidations can be
//!   received (Redis is gone), L1 is empty and bypassed.
//! - **L2** is written by compare-and-set on the version. A load that was overtaken by a change is
//!   not written back; `invalidate` leaves a fence for a few seconds that refuses such loads too.
//! - Redis is never truth: when it is down, slow or empty, lookups reach the loader, without errors.
//!
//! How stale may a read without `at_least` be? In the process that wrote: not at all, once `put` has
//! returned. In others: as long as a push takes (under a millisecond); until the next heartbeat,
//! within a second, when a network drops pushes silently; as long as the writer does not reach
//! Redis; both times to live when it dies between its commit and its `put`. Without Redis, where
//! others write to the same database: five seconds. A read with `at_least` is never older than that.
//!
//! Invariant: this module never answers with an error of its own making, except
//! [`Error::Behind`] when the loader itself is older than the caller asks for.

mod backend;
mod batch;
mod connection;
mod flight;
mod key;
mod local;
mod remote;
mod session;
mod supervisor;
mod tracking;
mod unsent;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::backend::{CacheBackend, RedisOptions};
use self::flight::Flights;
pub use self::key::Key;
use self::local::{Guard, Local};
use crate::error::Error;
use crate::telemetry::metrics;

/// How long a fence refuses loads that began before an invalidation.
const FENCE: Duration = Duration::from_secs(5);

/// A load that took longer is not cached: a fence may have come and gone meanwhile.
const LOAD_MAX: Duration = Duration::from_secs(2);

/// A value and the version of the row it was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<V> {
    /// Grows with every change, never negative.
    pub version: i64,
    /// The value at that version.
    pub value: V,
}

/// Sizes and lifetimes of one cache.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Entries kept in this process; 0 keeps none and leaves caching to Redis.
    pub l1_capacity: usize,
    /// How long an entry stays in this process. It need not be short: a change removes the entry, and so does the
    /// loss of the connection that tells of changes.
    pub l1_ttl: Duration,
    /// How long an entry stays in Redis: with `l1_ttl` the bound on staleness if a process dies before its `put`.
    pub l2_ttl: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            l1_capacity: 100_000,
            l1_ttl: Duration::from_mins(1),
            l2_ttl: Duration::from_mins(10),
        }
    }
}

/// What may be cached.
pub trait Value: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Value for V {}

/// One kind of cached values, for example tiers. Clones share everything.
#[derive(Clone)]
pub struct VersionedCache<V> {
    lookups: metrics::CacheLookups,
    prefix: Arc<str>,
    options: Options,
    backend: CacheBackend,
    local: Arc<Local<V>>,
    flights: Arc<Flights<V>>,
}

impl<V: Value> VersionedCache<V> {
    /// A cache named `name`, which is part of its Redis keys: give it another name when `V` changes
    /// its meaning. A `V` that no longer parses counts as absent.
    pub fn new(backend: &CacheBackend, name: &'static str, options: Options) -> Self {
        let prefix: Arc<str> = format!("{}{name}:", tracking::PREFIX).into();
        let local = Arc::new(Local::new(name, options, backend));
        let listener: Arc<dyn tracking::Listener> = local.clone();
        backend.tracking().listen(Arc::clone(&prefix), &listener);
        Self {
            lookups: metrics::CacheLookups::of(name),
            prefix,
            options,
            backend: backend.clone(),
            local,
            flights: Arc::default(),
        }
    }

    /// The value of `key`, no older than `at_least`; `load` reads it from the database. Absence is
    /// not cached.
    pub async fn get<L, F>(
        &self,
        key: &Key,
        at_least: i64,
        load: L,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F + Send,
        F: Future<Output = Result<Option<Versioned<V>>, Error>> + Send,
    {
        self.get_valid(key, at_least, |_| true, load).await
    }

    /// Like [`get`](Self::get), for values that hold until an instant only: a cached value that is
    /// not `valid` is skipped.
    pub async fn get_valid<L, F>(
        &self,
        key: &Key,
        at_least: i64,
        valid: impl Fn(&V) -> bool + Send + Sync,
        load: L,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F + Send,
        F: Future<Output = Result<Option<Versioned<V>>, Error>> + Send,
    {
        let fresh = |found: &Versioned<V>| found.version >= at_least && valid(&found.value);
        if let Some(found) = self.find_here(key, &fresh) {
            return Ok(Some(found));
        }
        let guard = self.local.guard(key);
        if let Some(found) = self.find_there(key, guard, &fresh).await {
            return Ok(Some(found));
        }
        self.load(key, guard, (at_least, fresh), load).await
    }

    /// Like [`get_valid`](Self::get_valid), for whoever has just seen [`find`](Self::find) find nothing: Redis is not
    /// asked again.
    pub async fn load_valid<L, F>(
        &self,
        key: &Key,
        at_least: i64,
        valid: impl Fn(&V) -> bool + Send + Sync,
        load: L,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F + Send,
        F: Future<Output = Result<Option<Versioned<V>>, Error>> + Send,
    {
        let fresh = |found: &Versioned<V>| found.version >= at_least && valid(&found.value);
        match self.find_here(key, &fresh) {
            None => {
                let guard = self.local.guard(key);
                self.load(key, guard, (at_least, fresh), load).await
            }
            found => Ok(found),
        }
    }

    /// From the database, by one of those who want it at the same time.
    async fn load<L, F>(
        &self,
        key: &Key,
        guard: Option<Guard>,
        (at_least, fresh): (i64, impl Fn(&Versioned<V>) -> bool + Send + Sync),
        load: L,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F + Send,
        F: Future<Output = Result<Option<Versioned<V>>, Error>> + Send,
    {
        let Some(guard) = guard else {
            self.lookups.bypass.add(1);
            return no_older_than(at_least, load().await?);
        };
        self.lookups.database.add(1);
        // Only the first of several concurrent callers takes its `load`.
        let mut load = Some(load);
        let shared = self
            .flights
            .join(key, guard, || self.load_and_store(key, guard, load.take()))
            .await?;
        let answers = shared.as_ref().map_or(at_least <= 0, &fresh);
        match load {
            Some(load) if !answers => {
                no_older_than(at_least, self.load_and_store(key, guard, Some(load)).await?)
            }
            _ => no_older_than(at_least, shared),
        }
    }

    /// The value of `key` if a cache has it and it will do, as for [`get_valid`](Self::get_valid); nothing is loaded.
    pub async fn find(
        &self,
        key: &Key,
        at_least: i64,
        valid: impl Fn(&V) -> bool + Send + Sync,
    ) -> Option<Versioned<V>> {
        let fresh = |found: &Versioned<V>| found.version >= at_least && valid(&found.value);
        match self.find_here(key, &fresh) {
            None => self.find_there(key, self.local.guard(key), &fresh).await,
            found => found,
        }
    }

    fn find_here(&self, key: &Key, fresh: &impl Fn(&Versioned<V>) -> bool) -> Option<Versioned<V>> {
        let found = self.local.find(key, fresh)?;
        self.lookups.l1.add(1);
        Some(found)
    }

    /// `guard` was taken before, so that what changes meanwhile is not kept.
    async fn find_there(
        &self,
        key: &Key,
        guard: Option<Guard>,
        fresh: &(impl Fn(&Versioned<V>) -> bool + Sync),
    ) -> Option<Versioned<V>> {
        let found = self.find_remote(key).await.filter(fresh)?;
        self.lookups.l2.add(1);
        self.local.fill(key, guard, &found);
        Some(found)
    }

    /// Announces a value after its transaction has committed. Never fails: what Redis misses now it
    /// is told when it is back, also if the caller is cancelled here.
    pub async fn put(&self, key: &Key, new: &Versioned<V>) {
        let name = self.redis_key(key);
        if let Some(remote) = self.backend.remote() {
            remote.unsent().add(&name, new.version);
            if remote.store(&name, new, self.options.l2_ttl).await {
                remote.unsent().sent(&name, new.version);
            }
        }
        // L1 is left to the next read: an old version may come late, when a newer one is evicted.
        self.backend.tracking().changed(&name);
    }

    /// Makes everybody load `key` anew, for example because its row was deleted.
    pub async fn invalidate(&self, key: &Key) {
        let name = self.redis_key(key);
        if let Some(remote) = self.backend.remote() {
            remote.unsent().add(&name, i64::MAX);
            if remote.fence(&name, i64::MAX).await {
                remote.unsent().sent(&name, i64::MAX);
            }
        }
        self.backend.tracking().changed(&name);
    }

    fn redis_key(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn find_remote(&self, key: &Key) -> Option<Versioned<V>> {
        self.backend
            .remote()?
            .find(&[self.redis_key(key)])
            .await
            .pop()
            .flatten()
    }

    async fn load_and_store<L, F>(
        &self,
        key: &Key,
        guard: Guard,
        load: Option<L>,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<Versioned<V>>, Error>>,
    {
        let load = load.expect("a loader runs once");
        let started = tokio::time::Instant::now();
        let loaded = load().await?;
        if let Some(found) = &loaded
            && started.elapsed() < LOAD_MAX
        {
            self.store(key, guard, found).await;
        }
        Ok(loaded)
    }

    /// Writes a loaded value back, unless the key changed since the guard was taken.
    async fn store(&self, key: &Key, guard: Guard, found: &Versioned<V>) {
        match self.backend.remote() {
            None => self.local.fill(key, Some(guard), found),
            // Not into L1: the push that our own write causes would remove it. The next read
            // takes it from L2.
            Some(remote) if self.local.holds(guard) => {
                remote
                    .store(&self.redis_key(key), found, self.options.l2_ttl)
                    .await;
            }
            Some(_) => {}
        }
    }
}

fn no_older_than<V>(
    at_least: i64,
    loaded: Option<Versioned<V>>,
) -> Result<Option<Versioned<V>>, Error> {
    match loaded {
        Some(found) if found.version < at_least => Err(Error::Behind),
        loaded => Ok(loaded),
    }
}
