//! Many lookups at once.

use futures::future::join_all;

use super::local::Guard;
use super::{Key, LOAD_MAX, Value, Versioned, VersionedCache, no_older_than};
use crate::error::Error;

impl<V: Value> VersionedCache<V> {
    /// Like [`get_valid`](Self::get_valid) for each key and the version it must at least have, in
    /// the order of `wanted`. `load` is given the positions in `wanted` that no cache answered and
    /// returns one answer for each, in the same order.
    pub async fn get_many<L, F>(
        &self,
        wanted: &[(Key, i64)],
        valid: impl Fn(&V) -> bool + Send + Sync,
        load: L,
    ) -> Result<Vec<Option<Versioned<V>>>, Error>
    where
        L: FnOnce(Vec<usize>) -> F + Send,
        F: Future<Output = Result<Vec<Option<Versioned<V>>>, Error>> + Send,
    {
        let fresh = |position: usize, found: &Versioned<V>| {
            found.version >= wanted[position].1 && valid(&found.value)
        };
        let mut answers = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for (position, (key, _)) in wanted.iter().enumerate() {
            let found = self.local.find(key, &|found| fresh(position, found));
            if found.is_none() {
                missing.push(Missing {
                    position,
                    guard: self.local.guard(key),
                });
            }
            answers.push(found);
        }
        self.lookups.l1.add(size(wanted.len() - missing.len()));

        let l2_asked = missing.len();
        self.fill_from_remote(wanted, fresh, &mut missing, &mut answers)
            .await;
        self.lookups.l2.add(size(l2_asked - missing.len()));
        if missing.is_empty() {
            return Ok(answers);
        }

        let bypassed = missing
            .iter()
            .filter(|missing| missing.guard.is_none())
            .count();
        self.lookups.bypass.add(size(bypassed));
        self.lookups.database.add(size(missing.len() - bypassed));
        let started = tokio::time::Instant::now();
        let loaded = load(missing.iter().map(|missing| missing.position).collect()).await?;
        if loaded.len() != missing.len() {
            let message = format!("asked to load {}, loaded {}", missing.len(), loaded.len());
            return Err(Error::Internal(message));
        }
        let timely = started.elapsed() < LOAD_MAX;
        let stores = missing
            .iter()
            .zip(&loaded)
            .filter(|_| timely)
            .map(async |(miss, loaded)| {
                if let (Some(guard), Some(found)) = (miss.guard, loaded) {
                    self.store(&wanted[miss.position].0, guard, found).await;
                }
            });
        join_all(stores).await;
        for (miss, loaded) in missing.iter().zip(loaded) {
            answers[miss.position] = no_older_than(wanted[miss.position].1, loaded)?;
        }
        Ok(answers)
    }

    /// Moves what Redis knows from `missing` to `answers`.
    async fn fill_from_remote(
        &self,
        wanted: &[(Key, i64)],
        fresh: impl Fn(usize, &Versioned<V>) -> bool,
        missing: &mut Vec<Missing>,
        answers: &mut [Option<Versioned<V>>],
    ) {
        let Some(remote) = self.backend.remote().filter(|_| !missing.is_empty()) else {
            return;
        };
        let name = |miss: &Missing| self.redis_key(&wanted[miss.position].0);
        let names: Vec<_> = missing.iter().map(name).collect();
        let mut held = remote.find(&names).await.into_iter();
        missing.retain(|&Missing { position, guard }| {
            let found = held.next().flatten().filter(|found| fresh(position, found));
            if let Some(found) = &found {
                self.local.fill(&wanted[position].0, guard, found);
            }
            answers[position] = found;
            answers[position].is_none()
        });
    }
}

struct Missing {
    position: usize,
    guard: Option<Guard>,
}

fn size(lookups: usize) -> u64 {
    lookups.try_into().expect("a count fits in 64 bits")
}
