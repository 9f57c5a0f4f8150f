//! How a member's tier will move by the passing of time alone: a pure function of what counts, the policies that
//! are known, the override and the instant.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::overrides::{self, TierOverride};
use super::tiers::period::Years;
use super::tiers::qualify::{self, Earned, Record};
use super::tiers::versions::{PolicyVersion, PolicyVersions};
use super::tiers::{Counted, Metric};

/// Moves told at most.
pub const MOVES_MAX: usize = 100;
/// Instants looked at at most: years go on for ever.
const INSTANTS_MAX: usize = 10_000;

/// A move to another tier that is to come unless something is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// When.
    pub at: Timestamp,
    /// From.
    pub from_tier: String,
    /// To.
    pub to_tier: String,
    /// Whether the new tier is the lower one.
    pub falls: bool,
    /// What counts then.
    pub amount: i64,
    /// What is missing then for staying in the tier before; 0 for a move up.
    pub missing: i64,
}

/// What counts for a member by each metric, in the order of time.
#[derive(Debug, Default)]
pub struct Counts {
    points: Vec<Counted>,
    spend: Vec<Counted>,
    purchases: Vec<Counted>,
}

impl Counts {
    /// By one metric.
    pub fn of(&self, metric: Metric) -> &[Counted] {
        match metric {
            Metric::PointsEarned => &self.points,
            Metric::Spend => &self.spend,
            Metric::Frequency => &self.purchases,
        }
    }

    /// By one metric, to be set.
    pub fn of_mut(&mut self, metric: Metric) -> &mut Vec<Counted> {
        match metric {
            Metric::PointsEarned => &mut self.points,
            Metric::Spend => &mut self.spend,
            Metric::Frequency => &mut self.purchases,
        }
    }
}

/// What a projection starts from.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The instant.
    pub as_of: Timestamp,
    /// When the member was enrolled.
    pub enrolled_at: Timestamp,
    /// What counts, as far as any policy from then on reaches.
    pub counts: &'a Counts,
    /// The tier given by hand, if one wins then.
    pub winning: Option<&'a TierOverride>,
}

impl Start<'_> {
    fn earned(&self, version: &PolicyVersion, at: Timestamp) -> Earned {
        let policy = &version.policy;
        let record = Record {
            enrolled_at: self.enrolled_at,
            counted: self.counts.of(policy.rules().metric),
        };
        qualify::earned(policy, record, at)
    }
}

/// Which metrics count from an instant on, by any version that is known, and each after which instant.
pub fn needed(
    policies: &PolicyVersions,
    enrolled_at: Timestamp,
    as_of: Timestamp,
) -> Vec<(Metric, Timestamp)> {
    let first = policies.at(as_of).version;
    let from_then = policies
        .all()
        .iter()
        .filter(|version| version.version >= first);
    let mut needed = Vec::new();
    for version in from_then {
        let metric = version.policy.rules().metric;
        let reach = qualify::reach(&version.policy, enrolled_at, as_of);
        match needed.iter_mut().find(|(known, _)| *known == metric) {
            Some((_, after)) => *after = reach.min(*after),
            None => needed.push((metric, reach)),
        }
    }
    needed
}

/// The member at one instant.
struct Moment {
    at: Timestamp,
    earned: Earned,
    tier: String,
    until: Option<Timestamp>,
}

/// The moves after an instant, in order.
pub fn project(policies: &PolicyVersions, start: Start<'_>) -> Vec<Move> {
    let moment = |at: Timestamp| {
        let version = policies.at(at);
        let earned = start.earned(version, at);
        let winning = start.winning.filter(|winning| !winning.has_ended(at));
        let held = overrides::held(&version.policy, earned, winning);
        Moment {
            at,
            earned,
            tier: held.tier.to_owned(),
            until: held
                .valid_until
                .into_iter()
                .chain(policies.next_after(at))
                .min(),
        }
    };
    let mut moves = Vec::new();
    let mut before = moment(start.as_of);
    for _ in 0..INSTANTS_MAX {
        let Some(at) = before.until.filter(|until| *until > before.at) else {
            break;
        };
        let after = moment(at);
        if after.tier != before.tier {
            moves.push(moved(policies, start, &before, &after));
        }
        if moves.len() == MOVES_MAX {
            break;
        }
        before = after;
    }
    moves
}

fn moved(policies: &PolicyVersions, start: Start<'_>, before: &Moment, after: &Moment) -> Move {
    let version = policies.at(after.at);
    let policy = &version.policy;
    let from = policy.find(&before.tier);
    let falls = from.is_some_and(|from| policy.rank_of(&after.tier) < Some(from.rank));
    // Whoever earns enough before a year ends keeps its tier; once it has ended, the new year must come to enough.
    let years = Years::of(policy.rules().period, start.enrolled_at);
    let ended = years.map(|years| years.start(years.number(after.at)));
    let counts = match ended.filter(|ended| *ended > start.as_of) {
        Some(ended) => {
            start
                .earned(version, ended - TimeDelta::microseconds(1))
                .amount
        }
        None => after.earned.amount,
    };
    let missing = from.filter(|_| falls);
    Move {
        at: after.at,
        from_tier: before.tier.clone(),
        to_tier: after.tier.clone(),
        falls,
        amount: after.earned.amount,
        missing: missing.map_or(0, |from| (from.threshold - counts).max(0)),
    }
}

#[cfg(test)]
mod tests;
