//! Instants with microsecond precision, and the clock they come from.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z, the first instant a protobuf Timestamp may hold.
const MICROS_MIN: i64 = -62_135_596_800 * MICROS_PER_SECOND;
/// 9999-12-31T23:59:59.999999Z, the last one.
const MICROS_MAX: i64 = 253_402_300_799 * MICROS_PER_SECOND + 999_999;

/// An instant in UTC: microseconds since 1970, which both databases store as BIGINT and compare alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, Deserialize)]
#[sqlx(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(MICROS_MAX);

    /// The instant that many whole seconds after 1970, for constants.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds * MICROS_PER_SECOND)
    }

    /// The instant that many microseconds after 1970; outside the years 1 to 9999 it is cut to that range.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MICROS_MIN, MICROS_MAX))
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The same instant for calendar arithmetic.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).expect("years 1 to 9999 fit chrono's range")
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_micros(time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .to_chrono()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    }
}

impl Add<TimeDelta> for Timestamp {
    type Output = Self;
    fn add(self, delta: TimeDelta) -> Self {
        Self::from_micros(self.0.saturating_add(micros_of(delta)))
    }
}

impl Sub<TimeDelta> for Timestamp {
    type Output = Self;
    fn sub(self, delta: TimeDelta) -> Self {
        Self::from_micros(self.0.saturating_sub(micros_of(delta)))
    }
}

impl Sub for Timestamp {
    type Output = TimeDelta;
    fn sub(self, earlier: Self) -> TimeDelta {
        TimeDelta::microseconds(self.0 - earlier.0)
    }
}

impl From<Timestamp> for prost_types::Timestamp {
    fn from(time: Timestamp) -> Self {
        let nanos = i32::try_from(time.0.rem_euclid(MICROS_PER_SECOND) * 1_000)
            .expect("less than a second in nanoseconds fits 32 bits");
        Self {
            seconds: time.0.div_euclid(MICROS_PER_SECOND),
            nanos,
        }
    }
}

impl TryFrom<&prost_types::Timestamp> for Timestamp {
    type Error = String;

    fn try_from(time: &prost_types::Timestamp) -> Result<Self, String> {
        if !(0..1_000_000_000).contains(&time.nanos) {
            return Err("must have nanos from 0 to 999999999".to_owned());
        }
        time.seconds
            .checked_mul(MICROS_PER_SECOND)
            .and_then(|micros| micros.checked_add(i64::from(time.nanos) / 1_000))
            .filter(|micros| (MICROS_MIN..=MICROS_MAX).contains(micros))
            .map(Self)
            .ok_or_else(|| "must be between the years 1 and 9999".to_owned())
    }
}

fn micros_of(delta: TimeDelta) -> i64 {
    delta
        .num_microseconds()
        .unwrap_or(if delta < TimeDelta::zero() {
            i64::MIN
        } else {
            i64::MAX
        })
}

/// Where the time comes from: injected, so that tests and the demo can set it.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Utc::now().into()
    }
}

/// A clock that starts at a given instant and ticks on from there.
#[derive(Debug, Clone, Copy)]
pub struct StartedAt {
    start: Timestamp,
    since: Instant,
}

impl StartedAt {
    /// Starts ticking now, at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            since: Instant::now(),
        }
    }
}

impl Clock for StartedAt {
    fn now(&self) -> Timestamp {
        self.start + TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proto_timestamps_survive_the_round_trip() {
        for micros in [0, 1, -1, -1_000_001, MICROS_MIN, MICROS_MAX] {
            let proto = prost_types::Timestamp::from(Timestamp(micros));
            assert_eq!(Timestamp::try_from(&proto), Ok(Timestamp(micros)));
        }
    }

    #[test]
    fn timestamps_out_of_range_are_refused() {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(Timestamp::try_from(&prost_types::Timestamp { seconds, nanos }).is_err());
        }
    }

    #[test]
    fn arithmetic_saturates_at_the_ends_of_the_range() {
        assert_eq!(Timestamp::MAX + TimeDelta::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH - TimeDelta::MAX, Timestamp(MICROS_MIN));
    }
}
