//! Calendar days in UTC: the resolution in which purchases are kept.

use common::time::Timestamp;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Day(i64);

impl Day {
    /// The day an instant falls on.
    pub fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(MICROS_PER_DAY))
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_mul(MICROS_PER_DAY))
    }

    /// Days since an earlier one.
    pub fn days_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// First day of the window of `window_days` that ends with this one; 0 reaches back to the beginning.
    #[must_use]
    pub fn window_start(self, window_days: i64) -> Self {
        if window_days == 0 {
            Self(i64::MIN)
        } else {
            Self(self.0 - (window_days - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc_also_before_1970() {
        let last_micro_of_1969 = Day::of(Timestamp::from_micros(-1));
        assert_eq!(Day::of(Timestamp::EPOCH).days_since(last_micro_of_1969), 1);
        assert_eq!(
            last_micro_of_1969.start(),
            Timestamp::from_micros(-MICROS_PER_DAY)
        );
    }

    #[test]
    fn a_window_counts_its_last_day() {
        let today = Day(100);
        assert_eq!(today.window_start(1), today);
        assert_eq!(today.window_start(90), Day(11));
        assert!(today.window_start(0) < Day(-1_000_000));
    }
}
