//! Concurrent misses of one key share one load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::local::Guard;
use super::{Key, Versioned};
use crate::error::Error;

/// The guard is part of the name: nobody joins a load that began before a change they know of.
type Flight = (Arc<str>, Guard);
type Outcome<V> = Arc<OnceCell<Option<Versioned<V>>>>;

pub(super) struct Flights<V> {
    running: Mutex<HashMap<Flight, Outcome<V>>>,
}

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
        }
    }
}

impl<V: Clone> Flights<V> {
    /// Runs `load`, or waits for the one that already runs. If that one fails or is cancelled, the
    /// next of those who wait runs its own.
    pub async fn join<L, F>(
        &self,
        key: &Key,
        guard: Guard,
        load: L,
    ) -> Result<Option<Versioned<V>>, Error>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Option<Versioned<V>>, Error>>,
    {
        let flight = (Arc::clone(key.text()), guard);
        let outcome = Arc::clone(self.lock().entry(flight.clone()).or_default());
        let seat = Seat {
            flights: self,
            flight,
            outcome,
        };
        seat.outcome.get_or_try_init(load).await.cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Flight, Outcome<V>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seat<'a, V: Clone> {
    flights: &'a Flights<V>,
    flight: Flight,
    outcome: Outcome<V>,
}

impl<V: Clone> Drop for Seat<'_, V> {
    fn drop(&mut self) {
        let mut running = self.flights.lock();
        // Clones are made under the lock only: two are the map's and ours.
        if Arc::strong_count(&self.outcome) <= 2 {
            running.remove(&self.flight);
        }
    }
}
