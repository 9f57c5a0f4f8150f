//! Changes that Redis does not know yet: it is about to be told, or could not be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More would be an outage so long that the L2 time to live is the better bound.
const CHANGES_MAX: usize = 100_000;

/// Keys and the versions they reached. What Redis holds of them below that version is not to be
/// believed.
#[derive(Default)]
pub(super) struct Unsent {
    changes: Mutex<HashMap<String, i64>>,
    /// Spares the lock in the usual case of none.
    len: AtomicUsize,
}

impl Unsent {
    pub fn add(&self, redis_key: &str, version: i64) {
        let mut changes = self.lock();
        if let Some(newest) = changes.get_mut(redis_key) {
            *newest = version.max(*newest);
        } else if changes.len() < CHANGES_MAX {
            changes.insert(redis_key.to_owned(), version);
        } else {
            tracing::warn!("too many cache changes wait for Redis: one more was dropped");
        }
        self.len.store(changes.len(), Ordering::SeqCst);
    }

    /// The lowest version of the key that is to be believed.
    pub fn floor(&self, redis_key: &str) -> i64 {
        if self.len.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        self.lock().get(redis_key).copied().unwrap_or_default()
    }

    /// Some of the changes, to be sent again.
    pub fn some(&self, count: usize) -> Vec<(String, i64)> {
        self.lock()
            .iter()
            .take(count)
            .map(|(key, version)| (key.clone(), *version))
            .collect()
    }

    /// Redis knows now, unless the key changed again meanwhile.
    pub fn sent(&self, redis_key: &str, version: i64) {
        let mut changes = self.lock();
        if changes.get(redis_key) == Some(&version) {
            changes.remove(redis_key);
        }
        self.len.store(changes.len(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
