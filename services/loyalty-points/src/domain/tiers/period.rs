//! The time over which something counts for a tier.

use chrono::{Datelike as _, Months, NaiveDate, NaiveTime, TimeDelta};
use common::time::Timestamp;

/// Minutes between UTC and any place on earth at most.
pub const OFFSET_MINUTES_MAX: i64 = 14 * 60;

/// The time over which something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// The days before now: `(now - days, now]`.
    Rolling {
        /// How many; a day is 24 hours.
        days: i64,
    },
    /// The year that begins on 1 January at midnight.
    CalendarYear(Midnight),
    /// The year that begins at midnight on the day and month of the enrolment; where that is 29 February, on
    /// 28 February in years without one.
    MembershipYear(Midnight),
}

/// Where midnight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Midnight {
    /// How far the clocks there are ahead of UTC, all year round.
    pub utc_offset_minutes: i64,
}

impl Midnight {
    fn offset(self) -> TimeDelta {
        TimeDelta::minutes(self.utc_offset_minutes)
    }

    fn date(self, at: Timestamp) -> NaiveDate {
        (at.to_chrono() + self.offset()).date_naive()
    }

    fn start_of(self, date: NaiveDate) -> Timestamp {
        (date.and_time(NaiveTime::MIN).and_utc() - self.offset()).into()
    }
}

/// Years one after the other: each ends where the next begins.
#[derive(Debug, Clone, Copy)]
pub struct Years {
    midnight: Midnight,
    /// The first day of one of them.
    first: NaiveDate,
}

impl Years {
    /// The years of a period for a member; none for a rolling window.
    pub fn of(period: Period, enrolled_at: Timestamp) -> Option<Self> {
        match period {
            Period::Rolling { .. } => None,
            Period::CalendarYear(midnight) => Some(Self {
                midnight,
                first: NaiveDate::from_ymd_opt(2000, 1, 1).expect("a day of the calendar"),
            }),
            Period::MembershipYear(midnight) => Some(Self {
                midnight,
                first: midnight.date(enrolled_at),
            }),
        }
    }

    /// When a year begins. Years are numbered; only their order means anything.
    pub fn start(&self, year: i32) -> Timestamp {
        let months = Months::new(year.unsigned_abs().saturating_mul(12));
        let date = if year < 0 {
            self.first.checked_sub_months(months)
        } else {
            self.first.checked_add_months(months)
        };
        let beyond = if year < 0 {
            NaiveDate::MIN
        } else {
            NaiveDate::MAX
        };
        self.midnight.start_of(date.unwrap_or(beyond))
    }

    /// The year that an instant belongs to.
    pub fn number(&self, at: Timestamp) -> i32 {
        let year = self.midnight.date(at).year() - self.first.year();
        if self.start(year) <= at {
            year
        } else {
            year - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(rfc3339: &str) -> Timestamp {
        let time = chrono::DateTime::parse_from_rfc3339(rfc3339).unwrap();
        time.to_utc().into()
    }

    fn membership(enrolled_at: &str, utc_offset_minutes: i64) -> Years {
        let midnight = Midnight { utc_offset_minutes };
        Years::of(Period::MembershipYear(midnight), time(enrolled_at)).unwrap()
    }

    #[test]
    fn calendar_years_begin_at_midnight_where_the_offset_says() {
        let years = |utc_offset_minutes| {
            let midnight = Midnight { utc_offset_minutes };
            Years::of(Period::CalendarYear(midnight), Timestamp::EPOCH).unwrap()
        };
        let instant = time("1998-07-01T00:00:00Z");
        let starts = [0, 120, -300].map(|minutes| {
            let years = years(minutes);
            years.start(years.number(instant))
        });
        let expected = [
            "1998-01-01T00:00:00Z",
            "1997-12-31T22:00:00Z",
            "1998-01-01T05:00:00Z",
        ];
        assert_eq!(starts, expected.map(time));
    }

    #[test]
    fn a_leap_day_is_28_february_in_other_years() {
        let years = membership("2024-02-29T15:00:00Z", 0);
        let starts = [0, 1, 4, -1].map(|year| years.start(year));
        let expected = [
            "2024-02-29T00:00:00Z",
            "2025-02-28T00:00:00Z",
            "2028-02-29T00:00:00Z",
            "2023-02-28T00:00:00Z",
        ];
        assert_eq!(starts, expected.map(time));
        assert_eq!(years.number(time("2025-02-27T23:59:59Z")), 0);
        assert_eq!(years.number(time("2025-02-28T00:00:00Z")), 1);
    }

    #[test]
    fn the_day_of_the_enrolment_is_the_one_where_the_offset_says() {
        let years = membership("2024-05-31T23:00:00Z", 120);
        assert_eq!(years.start(0), time("2024-05-31T22:00:00Z"));
        assert_eq!(years.start(1), time("2025-05-31T22:00:00Z"));
    }

    proptest! {
        /// Every instant belongs to the one year that has begun and whose successor has not.
        #[test]
        fn years_have_neither_gaps_nor_overlaps(
            (enrolled, at) in (0_i64..4_000_000_000, 0_i64..4_000_000_000),
            utc_offset_minutes in -OFFSET_MINUTES_MAX..=OFFSET_MINUTES_MAX,
            calendar in any::<bool>(),
        ) {
            let midnight = Midnight { utc_offset_minutes };
            let period = if calendar { Period::CalendarYear(midnight) } else { Period::MembershipYear(midnight) };
            let (enrolled, at) = (Timestamp::from_unix_seconds(enrolled), Timestamp::from_unix_seconds(at));
            let years = Years::of(period, enrolled).unwrap();
            let year = years.number(at);
            prop_assert!(years.start(year) <= at && at < years.start(year + 1));
        }
    }
}
