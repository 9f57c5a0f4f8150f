//! Tier policies: what counts for a tier, over which period, and when a tier is lost.

pub mod period;
pub mod qualify;
pub mod versions;

use chrono::TimeDelta;
use common::time::Timestamp;

pub use self::period::Period;
pub use self::qualify::{Counted, Earned};

/// Days of the window where a policy does not say.
pub const WINDOW_DAYS_DEFAULT: i64 = 365;
/// Days of grace at most: less than the shortest year, so that graces do not overlap.
pub const GRACE_DAYS_MAX: i64 = 364;
/// A multiplier that changes nothing.
pub const ONE_IN_BASIS_POINTS: i64 = 10_000;
/// The largest multiplier: a hundredfold.
pub const MULTIPLIER_MAX: i64 = 100 * ONE_IN_BASIS_POINTS;

/// A tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Higher is better.
    pub rank: i64,
    /// Amount, in units of the metric, from which on a member qualifies for it.
    pub threshold: i64,
    /// What purchases earn in it, in basis points of the base rule.
    pub multiplier: i64,
    /// Codes of what comes with it.
    pub benefits: Vec<String>,
}

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Points earned, less those reversed.
    PointsEarned,
    /// Money of purchases in the program's currency, in micros, less what was returned.
    Spend,
    /// Purchases in the program's currency that were not taken back whole.
    Frequency,
}

/// When and how far a tier falls that is no longer qualified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downgrade {
    /// At once, to what is earned. For a rolling window only.
    Immediate,
    /// At the end of the period and its grace, to what is earned.
    ToEarned,
    /// At the end of the period and its grace, to the next tier down.
    OneDown,
}

/// How members qualify, whatever the tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What counts.
    pub metric: Metric,
    /// Over which time.
    pub period: Period,
    /// When a tier falls.
    pub downgrade: Downgrade,
    /// Days after the end of a period in which a tier is kept.
    pub grace_days: i64,
}

impl Rules {
    /// Points earned in a rolling window; a tier falls as soon as they no longer suffice.
    pub fn rolling(days: i64) -> Self {
        Self {
            metric: Metric::PointsEarned,
            period: Period::Rolling { days },
            downgrade: Downgrade::Immediate,
            grace_days: 0,
        }
    }

    /// Length of the grace.
    pub fn grace(&self) -> TimeDelta {
        TimeDelta::days(self.grace_days)
    }
}

/// Rules and tiers.
///
/// Invariant: there is at least one tier; rank and threshold grow from each to the next, and the first
/// threshold is 0, so that every member qualifies for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierPolicy {
    rules: Rules,
    tiers: Vec<Tier>,
}

impl TierPolicy {
    /// Checks the invariant, whatever the order the tiers come in.
    pub fn new(rules: Rules, mut tiers: Vec<Tier>) -> Result<Self, String> {
        tiers.sort_by_key(|tier| tier.rank);
        if tiers.first().is_none_or(|lowest| lowest.threshold != 0) {
            return Err("must have a lowest tier with threshold 0".to_owned());
        }
        if tiers.windows(2).any(|pair| pair[0].rank == pair[1].rank) {
            return Err("must have a rank of its own for each tier".to_owned());
        }
        if tiers
            .windows(2)
            .any(|pair| pair[0].threshold >= pair[1].threshold)
        {
            return Err("must have thresholds that grow with the rank".to_owned());
        }
        Ok(Self { rules, tiers })
    }

    /// How members qualify.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Length of the window that a database can add points up over, if that is all there is to it: the tier
    /// follows from the points of a rolling window alone.
    pub fn summed_over(&self) -> Option<TimeDelta> {
        match self.rules {
            Rules {
                metric: Metric::PointsEarned,
                period: Period::Rolling { days },
                downgrade: Downgrade::Immediate,
                ..
            } => Some(TimeDelta::days(days)),
            _ => None,
        }
    }

    /// From the lowest to the highest.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// The tier a new member has.
    pub fn lowest(&self) -> &Tier {
        &self.tiers[0]
    }

    /// The tier for so much; less than nothing counts as nothing.
    pub fn tier_for(&self, amount: i64) -> &Tier {
        &self.tiers[self.step_for(amount)]
    }

    /// How many tiers are below the one for so much.
    pub fn step_for(&self, amount: i64) -> usize {
        let reached = self.tiers.iter().rposition(|tier| tier.threshold <= amount);
        reached.unwrap_or(0)
    }

    /// The tier above one, by its name.
    pub fn next_above(&self, name: &str) -> Option<&Tier> {
        let rank = self.rank_of(name)?;
        self.tiers.iter().find(|tier| tier.rank > rank)
    }

    /// A tier by its name.
    pub fn find(&self, name: &str) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.name == name)
    }

    /// Rank of a tier by its name.
    pub fn rank_of(&self, name: &str) -> Option<i64> {
        self.find(name).map(|tier| tier.rank)
    }

    /// What is earned by points that a database added up.
    pub fn earned_by(&self, sum: Qualification, window: TimeDelta) -> Earned {
        Earned {
            amount: sum.points,
            step: self.step_for(sum.points),
            until: sum.valid_until(window),
        }
    }
}

/// Points that count for the tier at one instant, in a rolling window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Qualification {
    /// Points earned in `(as_of - window, as_of]`, less those reversed.
    pub points: i64,
    /// When the oldest of them were earned: they leave the window first.
    pub oldest: Option<Timestamp>,
    /// When the next points that are dated after `as_of` start to count.
    pub upcoming: Option<Timestamp>,
}

impl Qualification {
    /// The same with one more earning.
    #[must_use]
    pub fn with(self, points: i64, earned_at: Timestamp, at: Instant) -> Self {
        let earliest =
            |known: Option<Timestamp>| Some(known.map_or(earned_at, |known| known.min(earned_at)));
        if points == 0 || earned_at <= at.as_of - at.window {
            self
        } else if earned_at <= at.as_of {
            Self {
                points: self.points + points,
                oldest: earliest(self.oldest),
                ..self
            }
        } else {
            Self {
                upcoming: earliest(self.upcoming),
                ..self
            }
        }
    }

    /// From when on the points are others by the passing of time alone.
    pub fn valid_until(&self, window: TimeDelta) -> Option<Timestamp> {
        let leaves = self.oldest.map(|oldest| oldest + window);
        leaves.into_iter().chain(self.upcoming).min()
    }
}

/// The instant a qualification holds for, and the window that ends there.
#[derive(Debug, Clone, Copy)]
pub struct Instant {
    /// The end of the window, which belongs to it.
    pub as_of: Timestamp,
    /// Its length.
    pub window: TimeDelta,
}

/// Tiers for tests.
#[cfg(test)]
pub mod fixtures {
    use super::*;

    /// A tier without benefits.
    pub fn tier(name: &str, rank: i64, threshold: i64) -> Tier {
        Tier {
            name: name.to_owned(),
            rank,
            threshold,
            multiplier: ONE_IN_BASIS_POINTS,
            benefits: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixtures::tier;
    use super::*;

    fn policy() -> TierPolicy {
        let tiers = vec![
            tier("Gold", 3, 250),
            tier("Bronze", 1, 0),
            tier("Silver", 2, 100),
        ];
        TierPolicy::new(Rules::rolling(365), tiers).unwrap()
    }

    #[test]
    fn a_tier_is_reached_at_its_threshold() {
        let names = [-5, 0, 99, 100, 249, 250, i64::MAX].map(|p| policy().tier_for(p).name.clone());
        assert_eq!(
            names,
            [
                "Bronze", "Bronze", "Bronze", "Silver", "Silver", "Gold", "Gold"
            ]
        );
        assert_eq!(policy().next_above("Bronze").unwrap().name, "Silver");
        assert_eq!(policy().next_above("Gold"), None);
    }

    #[test]
    fn contradictory_policies_are_refused() {
        let refused = |tiers| TierPolicy::new(Rules::rolling(365), tiers).is_err();
        assert!(refused(vec![]));
        assert!(refused(vec![tier("a", 1, 5)]));
        assert!(refused(vec![tier("a", 1, 0), tier("b", 1, 5)]));
        assert!(refused(vec![tier("a", 1, 0), tier("b", 2, 0)]));
    }

    #[test]
    fn points_leave_the_window_exactly_when_said() {
        let day = |n: i64| Timestamp::EPOCH + TimeDelta::days(n);
        let window = TimeDelta::days(10);
        let at = |as_of| Instant { as_of, window };
        let earned = |as_of| Qualification::default().with(7, day(5), at(as_of));
        assert_eq!(earned(day(5)).valid_until(window), Some(day(15)));
        assert_eq!(earned(day(15) - TimeDelta::microseconds(1)).points, 7);
        assert_eq!(earned(day(15)).points, 0);
        assert_eq!(earned(day(4)).valid_until(window), Some(day(5)));
    }

    proptest! {
        /// The points at any instant, told one by one, equal the sum over everything in the window, and
        /// they stay what they are until `valid_until`.
        #[test]
        fn qualification_equals_brute_force(
            earnings in prop::collection::vec((0_i64..100, 0_i64..60), 0..40),
            as_of in 0_i64..80,
            window in 1_i64..40,
        ) {
            let day = |n: i64| Timestamp::EPOCH + TimeDelta::days(n);
            let sum_at = |as_of: i64| -> i64 {
                let counts = |earned: i64| earned > as_of - window && earned <= as_of;
                earnings.iter().filter(|(_, earned)| counts(*earned)).map(|(points, _)| points).sum()
            };
            let at = Instant { as_of: day(as_of), window: TimeDelta::days(window) };
            let qualification = earnings.iter().fold(Qualification::default(), |sum, (points, earned)| {
                sum.with(*points, day(*earned), at)
            });
            prop_assert_eq!(qualification.points, sum_at(as_of));
            let until = qualification.valid_until(at.window).map_or(200, |until| (until - Timestamp::EPOCH).num_days());
            for later in as_of..until.min(200) {
                prop_assert_eq!(sum_at(later), qualification.points);
            }
        }
    }
}
