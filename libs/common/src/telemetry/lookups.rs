//! How often caches were asked, and where the answer was.
//!
//! Lookups in the process are the most frequent thing that is counted, so they cost one addition each; the sums are told
//! at every scrape.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// By cache and by where the answer was.
type Counts = BTreeMap<(&'static str, &'static str), Arc<AtomicU64>>;

static COUNTS: Mutex<Counts> = Mutex::new(BTreeMap::new());

/// A cache's lookups, by where they were answered. Caches of one name share their counts.
#[derive(Clone)]
pub struct CacheLookups {
    /// In this process.
    pub l1: Count,
    /// In Redis.
    pub l2: Count,
    /// In the database.
    pub database: Count,
    /// In the database, because Redis is out of reach.
    pub bypass: Count,
}

impl CacheLookups {
    /// Those of a cache.
    pub fn of(cache: &'static str) -> Self {
        let count = |answered| Count(Arc::clone(counts().entry((cache, answered)).or_default()));
        Self {
            l1: count("l1"),
            l2: count("l2"),
            database: count("database"),
            bypass: count("bypass"),
        }
    }
}

/// A number that grows.
#[derive(Clone)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// So many more.
    pub fn add(&self, lookups: u64) {
        self.0.fetch_add(lookups, Ordering::Relaxed);
    }
}

fn counts() -> MutexGuard<'static, Counts> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells at every scrape of all caches that there have been.
pub(super) fn observe(meter: &Meter) {
    meter
        .u64_observable_counter("asterism.cache.lookups")
        .with_description("Lookups by where they were answered.")
        .with_callback(|counter| {
            for ((cache, answered), count) in counts().iter() {
                let labels = [
                    KeyValue::new("cache", *cache),
                    KeyValue::new("answered", *answered),
                ];
                counter.observe(count.load(Ordering::Relaxed), &labels);
            }
        })
        .build();
}
