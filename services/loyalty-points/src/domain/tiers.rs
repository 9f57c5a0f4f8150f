//! Which tier a member qualifies for: a pure function of what was earned, the policy and the instant.

use chrono::TimeDelta;
use common::time::Timestamp;

/// Days of the window where a program does not say.
pub const WINDOW_DAYS_DEFAULT: i64 = 365;

/// A tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Higher is better.
    pub rank: i64,
    /// Points from which on a member has it.
    pub threshold: i64,
}

/// Tiers by the points earned in a window that ends now.
///
/// Invariant: there is at least one tier; rank and threshold grow from each to the next, and the first
/// threshold is 0, so that every member qualifies for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierPolicy {
    window_days: i64,
    tiers: Vec<Tier>,
}

impl TierPolicy {
    /// Checks the invariant, whatever the order the tiers come in.
    pub fn new(window_days: i64, mut tiers: Vec<Tier>) -> Result<Self, String> {
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
        Ok(Self { window_days, tiers })
    }

    /// Length of the window in days.
    pub fn window_days(&self) -> i64 {
        self.window_days
    }

    /// Length of the window.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::days(self.window_days)
    }

    /// From the lowest to the highest.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// The tier a new member has.
    pub fn lowest(&self) -> &Tier {
        &self.tiers[0]
    }

    /// The tier for so many points; fewer than none count as none.
    pub fn tier_for(&self, points: i64) -> &Tier {
        let reached = self
            .tiers
            .iter()
            .rev()
            .find(|tier| tier.threshold <= points);
        reached.unwrap_or(self.lowest())
    }

    /// The tier above the one for so many points.
    pub fn next_above(&self, points: i64) -> Option<&Tier> {
        self.tiers
            .iter()
            .find(|tier| tier.threshold > points.max(0))
    }

    /// Rank of a tier by its name.
    pub fn rank_of(&self, name: &str) -> Option<i64> {
        self.tiers
            .iter()
            .find(|tier| tier.name == name)
            .map(|tier| tier.rank)
    }

    /// Threshold of a tier by its name.
    pub fn threshold_of(&self, name: &str) -> Option<i64> {
        let named = self.tiers.iter().find(|tier| tier.name == name);
        named.map(|tier| tier.threshold)
    }
}

/// What counts for the tier at one instant.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tier(name: &str, rank: i64, threshold: i64) -> Tier {
        Tier {
            name: name.to_owned(),
            rank,
            threshold,
        }
    }

    fn policy() -> TierPolicy {
        let tiers = vec![
            tier("Gold", 3, 250),
            tier("Bronze", 1, 0),
            tier("Silver", 2, 100),
        ];
        TierPolicy::new(365, tiers).unwrap()
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
        assert_eq!(policy().next_above(99).unwrap().name, "Silver");
        assert_eq!(policy().next_above(250), None);
    }

    #[test]
    fn contradictory_policies_are_refused() {
        let refused = |tiers| TierPolicy::new(365, tiers).is_err();
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
