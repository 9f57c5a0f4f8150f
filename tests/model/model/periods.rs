//! What counts for a tier over which time, and until when a tier is held.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, Utc};

use super::{DAY, Micros};

/// How the tiers of a program are held.
#[derive(Debug, Clone, Copy)]
pub enum Period {
    /// What the days before now are enough for, and nothing longer.
    Rolling(Micros),
    /// What a year of the calendar was enough for is held until the next one and the grace after it have ended. Then it
    /// is the next tier down, unless more is earned.
    CalendarYear { grace: Micros },
}

/// What counts at an instant, and the tier that it is enough for, or that is held still.
pub struct Earned {
    pub amount: i64,
    pub place: usize,
}

impl Period {
    /// Of points that count, each from an instant on; `enough` tells the tier for an amount.
    pub fn earned(
        self,
        points: &[(Micros, i64)],
        at: Micros,
        enough: impl Fn(i64) -> usize,
    ) -> Earned {
        let amount = |from: Micros, to: Micros| {
            let counts = points
                .iter()
                .filter(|(earned_at, _)| from <= *earned_at && *earned_at < to && *earned_at <= at);
            counts.map(|(_, points)| points).sum::<i64>()
        };
        let grace = match self {
            Self::Rolling(window) => {
                let amount = amount(at - window + 1, Micros::MAX);
                let place = enough(amount);
                return Earned { amount, place };
            }
            Self::CalendarYear { grace } => grace,
        };
        let of_year = |year| amount(start_of(year), start_of(year + 1));
        let now = year_of(at);
        let first = points.iter().map(|(earned_at, _)| year_of(*earned_at));
        let first = first.min().unwrap_or(now).min(now);
        // What is held at the end of a year, and what the year before was enough for.
        let (mut held, mut before) = (0_usize, 0);
        for year in first..now {
            let earned = enough(of_year(year));
            held = earned.max(before).max(held.saturating_sub(1));
            before = earned;
        }
        let is_grace = at < start_of(now) + grace;
        let kept = if is_grace {
            held
        } else {
            held.saturating_sub(1)
        };
        let amount = of_year(now);
        Earned {
            amount,
            place: enough(amount).max(before).max(kept),
        }
    }
}

/// The year that an instant is in.
pub fn year_of(at: Micros) -> i32 {
    DateTime::<Utc>::from_timestamp_micros(at)
        .expect("an instant")
        .year()
}

/// When a year begins.
pub fn start_of(year: i32) -> Micros {
    let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    first.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

/// The grace of the club.
pub const GRACE: Micros = 30 * DAY;
