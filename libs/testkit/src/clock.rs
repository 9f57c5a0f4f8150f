//! Time as a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};
use common::time::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct FakeClock {
    now: Arc<AtomicI64>,
    tick: Arc<AtomicI64>,
}

impl FakeClock {
    /// Stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            now: Arc::new(AtomicI64::new(now.micros())),
            tick: Arc::new(AtomicI64::new(0)),
        }
    }

    /// Moves it, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.micros(), Ordering::SeqCst);
    }

    /// Moves it by so much.
    pub fn advance(&self, by: TimeDelta) {
        self.set(self.now() + by);
    }

    /// From now on it moves by so many microseconds whenever somebody looks, so that nobody is told one instant twice.
    pub fn tick(&self, micros: i64) {
        self.tick.store(micros, Ordering::SeqCst);
    }
}

/// Stands at the start of 2026.
impl Default for FakeClock {
    fn default() -> Self {
        Self::at(time("2026-01-01T00:00:00Z"))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        let tick = self.tick.load(Ordering::SeqCst);
        Timestamp::from_micros(self.now.fetch_add(tick, Ordering::SeqCst))
    }
}

/// The instant that an RFC 3339 text names.
#[must_use]
pub fn time(rfc3339: &str) -> Timestamp {
    let time = DateTime::parse_from_rfc3339(rfc3339)
        .unwrap_or_else(|error| panic!("{rfc3339} is no RFC 3339 time: {error}"));
    time.to_utc().into()
}
