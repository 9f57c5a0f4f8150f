//! L1: entries in this process, and the generation counters that keep overtaken fetches out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::tracking::{Listener, Stamp, Tracking};
use super::{CacheBackend, Key, Options, Value, Versioned};
use crate::telemetry::metrics;

const GENERATIONS: usize = 1_024;

/// What was true of a key before its value was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Guard {
    stamp: Stamp,
    bucket: usize,
    generation: u64,
}

struct Entry<V> {
    stamp: Stamp,
    /// When it is too old to be believed.
    ends: Instant,
    found: Versioned<V>,
}

pub(super) struct Local<V> {
    name: &'static str,
    /// `None` where nothing is to be kept in this process.
    entries: Option<Cache<Arc<str>, Arc<Entry<V>>>>,
    ttl: Duration,
    /// Counters of changes; keys that share one cost each other a fetch, never a wrong answer.
    /// The lock makes "compare and insert" one step and "count and remove" another: comparing
    /// before and after the insert instead would show an overtaken entry for a moment.
    generations: Box<[Mutex<u64>]>,
    tracking: Arc<Tracking>,
}

impl<V: Value> Local<V> {
    pub fn new(name: &'static str, options: Options, backend: &CacheBackend) -> Self {
        let entries = (options.l1_capacity > 0).then(|| Cache::new(options.l1_capacity));
        Self {
            name,
            entries,
            ttl: options.l1_ttl.min(backend.believed_for()),
            generations: (0..GENERATIONS).map(|_| Mutex::new(0)).collect(),
            tracking: Arc::clone(backend.tracking()),
        }
    }

    pub fn find(&self, key: &Key, fresh: &impl Fn(&Versioned<V>) -> bool) -> Option<Versioned<V>> {
        let stamp = self.tracking.stamp()?;
        let entry = self.entries.as_ref()?.get(key.text())?;
        let holds = entry.stamp == stamp && Instant::now() < entry.ends && fresh(&entry.found);
        holds.then(|| entry.found.clone())
    }

    /// To be taken before a fetch; `None` while L1 is bypassed.
    pub fn guard(&self, key: &Key) -> Option<Guard> {
        let stamp = self.tracking.stamp()?;
        let bucket = bucket(key.text());
        let generation = *self.generation(bucket);
        Some(Guard {
            stamp,
            bucket,
            generation,
        })
    }

    /// Whether nothing happened to the key since the guard was taken.
    pub fn holds(&self, guard: Guard) -> bool {
        self.unchanged(guard, *self.generation(guard.bucket))
    }

    /// Keeps a fetched value, unless the key changed since the guard was taken.
    pub fn fill(&self, key: &Key, guard: Option<Guard>, found: &Versioned<V>) {
        let (Some(entries), Some(guard)) = (&self.entries, guard) else {
            return;
        };
        let generation = self.generation(guard.bucket);
        if !self.unchanged(guard, *generation) {
            return;
        }
        let now = Instant::now();
        let held = entries
            .get(key.text())
            .filter(|held| held.stamp == guard.stamp && now < held.ends);
        if held.is_none_or(|held| held.found.version <= found.version) {
            let entry = Entry {
                stamp: guard.stamp,
                ends: now + self.ttl,
                found: found.clone(),
            };
            entries.insert(Arc::clone(key.text()), Arc::new(entry));
        }
    }

    fn unchanged(&self, guard: Guard, generation: u64) -> bool {
        generation == guard.generation && self.tracking.stamp() == Some(guard.stamp)
    }

    fn generation(&self, bucket: usize) -> MutexGuard<'_, u64> {
        self.generations[bucket]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Value> Listener for Local<V> {
    fn changed(&self, key: &str) {
        metrics::cache_invalidated(self.name);
        let mut generation = self.generation(bucket(key));
        *generation += 1;
        if let Some(entries) = &self.entries {
            entries.remove(key);
        }
    }

    fn all_changed(&self) {
        if let Some(entries) = &self.entries {
            entries.clear();
        }
    }
}

fn bucket(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % GENERATIONS as u64).expect("the remainder is small")
}
