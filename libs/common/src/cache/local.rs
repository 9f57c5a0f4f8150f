//! L1: entries in this process, and the generation counters that keep overtaken fetches out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::metrics::Metrics;
use super::tracking::{Listener, Stamp, Tracking};
use super::{Key, Options, Value, Versioned};

const GENERATIONS: usize = 1_024;

/// What was true of a key before its value was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Guard {
    stamp: Stamp,
    bucket: usize,
    generation: u64,
}

#[derive(Clone)]
struct Entry<V> {
    stamp: Stamp,
    found: Versioned<V>,
}

pub(super) struct Local<V> {
    entries: Cache<Arc<str>, Entry<V>>,
    /// Counters of changes; keys that share one cost each other a fetch, never a wrong answer.
    generations: Box<[AtomicU64]>,
    tracking: Arc<Tracking>,
    metrics: Metrics,
}

impl<V: Value> Local<V> {
    pub fn new(options: Options, tracking: &Arc<Tracking>, metrics: Metrics) -> Self {
        let entries = Cache::builder()
            .max_capacity(options.l1_capacity)
            .time_to_live(options.l1_ttl)
            .build();
        Self {
            entries,
            generations: (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect(),
            tracking: Arc::clone(tracking),
            metrics,
        }
    }

    pub fn find(&self, key: &Key) -> Option<Versioned<V>> {
        let stamp = self.tracking.stamp()?;
        let entry = self.entries.get(key.text())?;
        (entry.stamp == stamp).then_some(entry.found)
    }

    /// To be taken before a fetch; `None` while L1 is bypassed.
    pub fn guard(&self, key: &Key) -> Option<Guard> {
        let stamp = self.tracking.stamp()?;
        let bucket = bucket(key.text());
        let generation = self.generations[bucket].load(Ordering::SeqCst);
        Some(Guard { stamp, bucket, generation })
    }

    /// Whether nothing happened to the key since the guard was taken.
    pub fn holds(&self, guard: Guard) -> bool {
        self.generations[guard.bucket].load(Ordering::SeqCst) == guard.generation
            && self.tracking.stamp() == Some(guard.stamp)
    }

    /// Keeps a fetched value, unless the key changed since the guard was taken.
    pub fn fill(&self, key: &Key, guard: Option<Guard>, found: &Versioned<V>) {
        let Some(guard) = guard.filter(|guard| self.holds(*guard)) else {
            return;
        };
        self.entries.entry(Arc::clone(key.text())).and_compute_with(|held| {
            let newer = held.is_some_and(|held| {
                let held = held.value();
                held.stamp == guard.stamp && held.found.version > found.version
            });
            if newer {
                Op::Nop
            } else {
                Op::Put(Entry { stamp: guard.stamp, found: found.clone() })
            }
        });
        // Pairs with the fence in `changed`: either we see the new generation, or the removal that
        // follows it sees our entry.
        fence(Ordering::SeqCst);
        if !self.holds(guard) {
            self.entries.invalidate(key.text());
        }
    }
}

impl<V: Value> Listener for Local<V> {
    fn changed(&self, key: &str) {
        self.metrics.invalidated();
        self.generations[bucket(key)].fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.entries.invalidate(key);
    }

    fn all_changed(&self) {
        self.entries.invalidate_all();
    }
}

fn bucket(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % GENERATIONS as u64).expect("the remainder is small")
}
