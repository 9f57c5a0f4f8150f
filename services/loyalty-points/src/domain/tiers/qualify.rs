//! Which tier a member has earned: a pure function of what counts, the policy and the instant.
//!
//! A policy is applied as if it had always held: what was earned before it was published counts by its rules.
//! What was taken back since counts for no instant. So nothing but what counts has to be kept to tell, or to check,
//! the tier of any instant.
//!
//! With `Downgrade::Immediate` the tier is the one for the amount in the window. Otherwise a tier is held:
//!
//! - In years: what a year came to holds through the whole next year, and through the grace after that. Then the
//!   tier falls, unless the year that has just ended or the present one came to enough.
//! - In a rolling window: at each instant at which something was earned, the amount in the window ending there
//!   qualifies for a tier, which is held from then on for the length of the window and the grace. To the next tier
//!   down it falls for one more length of the window.

#[cfg(test)]
mod tests;

use chrono::TimeDelta;
use common::time::Timestamp;

use super::period::Years;
use super::{Downgrade, Period, TierPolicy};

/// Something that counts: points of an earning, money of a purchase, or the purchase itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How much: above zero.
    pub amount: i64,
    /// When.
    pub at: Timestamp,
}

/// What a member has earned at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earned {
    /// What counts in the period.
    pub amount: i64,
    /// How many tiers are below the one earned.
    pub step: usize,
    /// From when on either may be another by the passing of time alone.
    pub until: Option<Timestamp>,
}

/// Whose tier, and what counts for it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When the member was enrolled.
    pub enrolled_at: Timestamp,
    /// What counts, in the order of time; at least what the policy reaches back to, and what is dated ahead.
    pub counted: &'a [Counted],
}

/// What is earned at an instant.
pub fn earned(policy: &TierPolicy, record: Record<'_>, as_of: Timestamp) -> Earned {
    let known = record
        .counted
        .partition_point(|counted| counted.at <= as_of);
    let (known, ahead) = record.counted.split_at(known);
    let mut earned = match (policy.rules.period, policy.rules.downgrade) {
        (Period::Rolling { days }, Downgrade::Immediate) => {
            let window = window_sum(known, as_of, TimeDelta::days(days));
            Earned {
                amount: window.amount,
                step: policy.step_for(window.amount),
                until: window.changes_at,
            }
        }
        (Period::Rolling { days }, Downgrade::ToEarned | Downgrade::OneDown) => {
            let length = TimeDelta::days(days);
            let window = window_sum(known, as_of, length);
            let (step, due) = held(policy, known, as_of, length);
            Earned {
                amount: window.amount,
                step,
                until: window.changes_at.into_iter().chain(due).min(),
            }
        }
        (Period::CalendarYear(_) | Period::MembershipYear(_), _) => {
            let years = Years::of(policy.rules.period, record.enrolled_at);
            in_years(policy, years.expect("the period has years"), known, as_of)
        }
    };
    let upcoming = ahead.first().map(|counted| counted.at);
    earned.until = earned.until.into_iter().chain(upcoming).min();
    earned
}

/// What is earned at an instant cannot depend on anything at this instant or before.
pub fn reach(policy: &TierPolicy, enrolled_at: Timestamp, as_of: Timestamp) -> Timestamp {
    let steps = i32::try_from(policy.tiers.len()).expect("tiers are few");
    let grace = policy.rules.grace();
    match (policy.rules.period, policy.rules.downgrade) {
        (Period::Rolling { days }, Downgrade::Immediate) => as_of - TimeDelta::days(days),
        (Period::Rolling { days }, Downgrade::ToEarned) => {
            as_of - TimeDelta::days(days) * 2 - grace
        }
        // Whatever it was so long ago has fallen to the lowest, step by step.
        (Period::Rolling { days }, Downgrade::OneDown) => {
            as_of - TimeDelta::days(days) * (steps + 1) - grace * steps
        }
        (Period::CalendarYear(_) | Period::MembershipYear(_), _) => {
            let years = Years::of(policy.rules.period, enrolled_at).expect("the period has years");
            let oldest = years.start(years.number(as_of) - steps - 1);
            oldest - TimeDelta::microseconds(1)
        }
    }
}

struct WindowSum {
    amount: i64,
    changes_at: Option<Timestamp>,
}

/// What counts in the window that ends at an instant, and when the oldest of it leaves.
fn window_sum(known: &[Counted], as_of: Timestamp, length: TimeDelta) -> WindowSum {
    let inside = &known[known.partition_point(|counted| counted.at <= as_of - length)..];
    WindowSum {
        amount: sum(inside),
        changes_at: inside.first().map(|oldest| oldest.at + length),
    }
}

fn sum(counted: &[Counted]) -> i64 {
    clamped(
        counted
            .iter()
            .map(|counted| i128::from(counted.amount))
            .sum(),
    )
}

fn clamped(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// A tier that is held since it was last qualified for.
struct Hold<'a> {
    policy: &'a TierPolicy,
    window: TimeDelta,
    step: usize,
    /// When it was last qualified for, or a window before it was to be.
    since: Timestamp,
    /// What each instant qualified for.
    reached: Vec<(Timestamp, usize)>,
}

impl Hold<'_> {
    /// When it falls, if nothing more is earned; the lowest never does.
    fn due(&self) -> Option<Timestamp> {
        (self.step > 0).then(|| self.since + self.window + self.policy.rules.grace())
    }

    /// Lets it fall as often as it is due by an instant.
    fn settle(&mut self, by: Timestamp) {
        while self.due().is_some_and(|due| due <= by) {
            let before = self.since;
            let mut since = self.reached.iter().filter(|(at, _)| *at > before);
            let best = since.clone().map(|(_, step)| *step).max().unwrap_or(0);
            let one_down = self.policy.rules.downgrade == Downgrade::OneDown;
            self.step = if one_down { self.step - 1 } else { best };
            let own = since.rfind(|(_, step)| *step >= self.step);
            let own = own.map_or(before, |(at, _)| *at);
            self.since = if one_down {
                own.max(before + self.window)
            } else {
                own
            };
        }
    }
}

/// The tier held in a rolling window, and when it falls.
fn held(
    policy: &TierPolicy,
    known: &[Counted],
    as_of: Timestamp,
    window: TimeDelta,
) -> (usize, Option<Timestamp>) {
    let mut hold = Hold {
        policy,
        window,
        step: 0,
        since: as_of,
        reached: Vec::with_capacity(known.len()),
    };
    let (mut amount, mut oldest) = (0_i128, 0);
    for counted in known {
        hold.settle(counted.at);
        amount += i128::from(counted.amount);
        while known[oldest].at <= counted.at - window {
            amount -= i128::from(known[oldest].amount);
            oldest += 1;
        }
        let step = policy.step_for(clamped(amount));
        if step >= hold.step {
            (hold.step, hold.since) = (step, counted.at);
        }
        hold.reached.push((counted.at, step));
    }
    hold.settle(as_of);
    (hold.step, hold.due())
}

/// What is earned in the year of an instant, with what the years before left.
fn in_years(policy: &TierPolicy, years: Years, known: &[Counted], as_of: Timestamp) -> Earned {
    let present = years.number(as_of);
    let back = i32::try_from(policy.tiers.len()).expect("tiers are few") + 1;
    let amount_of = |year: i32| {
        let from = known.partition_point(|counted| counted.at < years.start(year));
        let to = known.partition_point(|counted| counted.at < years.start(year + 1));
        sum(&known[from..to])
    };
    // At the end of the year before, and after the grace that follows it.
    let (mut before, mut after) = (0, 0);
    for year in present - back..present {
        let reached = policy.step_for(amount_of(year));
        before = reached.max(after);
        after = match policy.rules.downgrade {
            Downgrade::OneDown if reached < before => before - 1,
            Downgrade::OneDown | Downgrade::ToEarned | Downgrade::Immediate => reached,
        };
    }
    let amount = amount_of(present);
    let reached = policy.step_for(amount);
    let grace_ends = years.start(present) + policy.rules.grace();
    let in_grace = as_of < grace_ends;
    let step = reached.max(if in_grace { before } else { after });
    let falls = (in_grace && before > after).then_some(grace_ends);
    let ends = (amount > 0 || step > 0).then(|| years.start(present + 1));
    Earned {
        amount,
        step,
        until: falls.into_iter().chain(ends).min(),
    }
}
