//! What counts for a tier over which time, and until when a tier is held.

use api::loyalty::v1 as pb;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, Utc};
use pb::{TierDowngrade as Downgrade, TierPeriod as Period};

use super::{DAY, Micros};

/// What counts at an instant, and the place of the tier that it is enough for, or that is held still.
#[derive(Debug, PartialEq, Eq)]
pub struct Earned {
    pub amount: i64,
    pub place: usize,
}

/// Whose tier, and what counts for it: amounts, each from an instant on.
pub struct Record<'a> {
    pub enrolled_at: Micros,
    pub counted: &'a [(Micros, i64)],
}

/// What is earned at an instant by a policy that has always held.
pub fn earned(policy: &pb::TierPolicy, record: &Record<'_>, at: Micros) -> Earned {
    let known = record.counted.iter().filter(|it| it.0 <= at && it.1 > 0);
    let known: Vec<_> = known.copied().collect();
    let sum = |is_within: &dyn Fn(Micros) -> bool| {
        let within = known.iter().filter(|it| is_within(it.0));
        within.map(|(_, amount)| amount).sum::<i64>()
    };
    let enough = |amount: i64| {
        let mut tiers = policy.tiers.iter();
        let place = tiers.rposition(|tier| tier.threshold <= amount);
        place.expect("the lowest tier costs nothing")
    };
    // What is left of a tier, so often after it was due to fall.
    let fallen = |place: usize, times: usize| match policy.downgrade() {
        Downgrade::OneDown => place.saturating_sub(times),
        _ if times == 0 => place,
        _ => 0,
    };
    let grace = Micros::from(policy.grace_days) * DAY;
    if policy.period() == Period::Rolling {
        let window = Micros::from(policy.window_days) * DAY;
        let in_window = |end: Micros| sum(&|it| end - window < it && it <= end);
        let amount = in_window(at);
        let mut place = enough(amount);
        if policy.downgrade() != Downgrade::Immediate {
            // Whatever the window was enough for when something came is held, or what is left of it.
            for (reached_at, _) in &known {
                let reached = enough(in_window(*reached_at));
                let after = at - (reached_at + window + grace);
                let times = if after < 0 { 0 } else { 1 + after / window };
                let times = usize::try_from(times).expect("not below zero");
                place = place.max(fallen(reached, times));
            }
        }
        return Earned { amount, place };
    }
    let years = Years::of(policy, record.enrolled_at);
    let now = years.number(at);
    let of_year = |year| sum(&|it| years.start(year) <= it && it < years.start(year + 1));
    let amount = of_year(now);
    let mut place = enough(amount);
    let first = known.iter().map(|it| years.number(it.0)).min();
    for year in first.unwrap_or(now)..now {
        // Held through the next year and the grace after it; then it falls, and again each year.
        let due = |n: &i32| years.start(*n) + grace <= at;
        let times = (year + 2..=now).filter(due).count();
        place = place.max(fallen(enough(of_year(year)), times));
    }
    Earned { amount, place }
}

/// The instants at which a tier may change by itself: what counts comes or leaves, or a period or its grace ends. Behind the
/// last of them all is as it was at first.
pub fn turns(policy: &pb::TierPolicy, record: &Record<'_>, from: Micros) -> Vec<Micros> {
    let known: Vec<_> = record.counted.iter().filter(|it| it.1 > 0).collect();
    let grace = Micros::from(policy.grace_days) * DAY;
    let mut turns: Vec<_> = known.iter().map(|it| it.0).collect();
    if policy.period() == Period::Rolling {
        let window = Micros::from(policy.window_days) * DAY;
        for (at, _) in known {
            turns.push(at + window);
            // A tier falls once for each tier below it at most.
            let falls = (1..).take(policy.tiers.len());
            turns.extend(falls.map(|n: Micros| at + n * window + grace));
        }
    } else {
        let years = Years::of(policy, record.enrolled_at);
        let latest = known.iter().map(|it| it.0).fold(from, Micros::max);
        let falls = i32::try_from(policy.tiers.len()).expect("few");
        for year in years.number(from)..=years.number(latest) + 2 + falls {
            turns.extend([years.start(year), years.start(year) + grace]);
        }
    }
    turns.retain(|at| from < *at);
    turns
}

/// When the year began that an instant is in, where years count.
pub fn year_begun(policy: &pb::TierPolicy, enrolled_at: Micros, at: Micros) -> Option<Micros> {
    if policy.period() == Period::Rolling {
        return None;
    }
    let years = Years::of(policy, enrolled_at);
    Some(years.start(years.number(at)))
}

/// Years that begin on a day of the year, at midnight somewhere.
struct Years {
    month: u32,
    day: u32,
    ahead: Micros,
}

impl Years {
    fn of(policy: &pb::TierPolicy, enrolled_at: Micros) -> Self {
        let ahead = Micros::from(policy.utc_offset_minutes) * 60_000_000;
        let (month, day) = if policy.period() == Period::MembershipYear {
            let date = date(enrolled_at + ahead);
            (date.month(), date.day())
        } else {
            (1, 1)
        };
        Self { month, day, ahead }
    }

    fn start(&self, year: i32) -> Micros {
        let first = NaiveDate::from_ymd_opt(year, self.month, self.day);
        // Only one day is not in every year.
        let first = first.or_else(|| NaiveDate::from_ymd_opt(year, 2, 28));
        midnight(first.expect("a date")) - self.ahead
    }

    fn number(&self, at: Micros) -> i32 {
        let year = date(at + self.ahead).year();
        if self.start(year) <= at {
            year
        } else {
            year - 1
        }
    }
}

fn date(at: Micros) -> NaiveDate {
    let at = DateTime::<Utc>::from_timestamp_micros(at);
    at.expect("an instant").date_naive()
}

fn midnight(date: NaiveDate) -> Micros {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

/// The year of the calendar that an instant is in.
pub fn year_of(at: Micros) -> i32 {
    date(at).year()
}

/// When a year of the calendar begins.
pub fn start_of(year: i32) -> Micros {
    midnight(NaiveDate::from_ymd_opt(year, 1, 1).expect("a date"))
}

/// The grace of the club.
pub const GRACE: Micros = 30 * DAY;
