//! Counters of one cache.

use std::sync::Arc;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};

/// Who answered a lookup.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    L1,
    L2,
    Loader,
}

#[derive(Clone)]
pub(super) struct Metrics {
    cache: KeyValue,
    /// Attributes by level, made once: a lookup in L1 takes well under a microsecond.
    levels: Arc<[[KeyValue; 2]; 3]>,
    lookups: Counter<u64>,
    invalidations: Counter<u64>,
    bypasses: Counter<u64>,
}

impl Metrics {
    pub fn new(cache: &str) -> Self {
        let meter = global::meter("asterism");
        let cache = KeyValue::new("cache", cache.to_owned());
        let levels = ["l1", "l2", "loader"];
        Self {
            levels: Arc::new(levels.map(|level| [cache.clone(), KeyValue::new("level", level)])),
            cache,
            lookups: meter
                .u64_counter("asterism.cache.lookups")
                .with_description("Lookups by the level that answered")
                .build(),
            invalidations: meter
                .u64_counter("asterism.cache.invalidations")
                .with_description("Changed keys that this process was told of or changed itself")
                .build(),
            bypasses: meter
                .u64_counter("asterism.cache.bypasses")
                .with_description("Lookups past all caches because Redis is out of reach")
                .build(),
        }
    }

    pub fn answered(&self, level: Level, lookups: u64) {
        self.lookups.add(lookups, &self.levels[level as usize]);
    }

    pub fn invalidated(&self) {
        self.invalidations.add(1, std::slice::from_ref(&self.cache));
    }

    pub fn bypassed(&self, lookups: u64) {
        self.bypasses.add(lookups, std::slice::from_ref(&self.cache));
    }
}
