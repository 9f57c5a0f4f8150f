//! A tier given by hand: it wins over what is earned, until it ends.

use common::time::Timestamp;

use super::tiers::{Earned, TierPolicy};

/// A tier given by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierOverride {
    /// The tier.
    pub tier: String,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// From when on it wins.
    pub created_at: Timestamp,
    /// From when on it no longer does; absent: until it is cleared.
    pub ends_at: Option<Timestamp>,
}

impl TierOverride {
    /// Whether it is over at an instant.
    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= at)
    }

    /// Whether it wins at an instant of `[created_at, ends_at)`.
    pub fn wins_at(&self, at: Timestamp) -> bool {
        self.created_at <= at && !self.has_ended(at)
    }
}

/// The tier a member has at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// Its name.
    pub tier: &'a str,
    /// From when on it may be another by the passing of time alone.
    pub valid_until: Option<Timestamp>,
}

/// The tier a member has: the one given by hand while that wins and the policy knows it, else the one earned.
pub fn held<'a>(
    policy: &'a TierPolicy,
    earned: Earned,
    winning: Option<&'a TierOverride>,
) -> Held<'a> {
    let winning = known(policy, winning);
    let ends_at = winning.and_then(|winning| winning.ends_at);
    let step = &policy.tiers()[earned.step];
    Held {
        tier: winning.map_or(&step.name, |winning| &winning.tier),
        valid_until: earned.until.into_iter().chain(ends_at).min(),
    }
}

/// The override, if the policy knows its tier. One of a tier that a later version has dropped does not win.
pub fn known<'a>(policy: &TierPolicy, given: Option<&'a TierOverride>) -> Option<&'a TierOverride> {
    given.filter(|given| policy.find(&given.tier).is_some())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::super::tiers::fixtures::tier;
    use super::super::tiers::{Instant, Qualification, Rules};
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::EPOCH + TimeDelta::days(n)
    }

    fn given(tier: &str, from: i64, to: Option<i64>) -> TierOverride {
        TierOverride {
            tier: tier.to_owned(),
            actor: "ann".to_owned(),
            reason: "test".to_owned(),
            created_at: day(from),
            ends_at: to.map(day),
        }
    }

    fn policy() -> TierPolicy {
        let tiers = vec![tier("Bronze", 1, 0), tier("Silver", 2, 100)];
        TierPolicy::new(Rules::rolling(10), tiers).unwrap()
    }

    #[test]
    fn an_override_wins_from_its_start_to_just_before_its_end() {
        let bounded = given("Silver", 5, Some(9));
        let wins = [4, 5, 8, 9].map(|n| bounded.wins_at(day(n)));
        assert_eq!(wins, [false, true, true, false]);
        assert!(bounded.wins_at(day(9) - TimeDelta::microseconds(1)));
        assert!(given("Silver", 5, None).wins_at(day(1_000_000)));
        assert!(!given("Silver", 5, Some(5)).wins_at(day(5)));
    }

    #[test]
    fn it_can_lower_a_tier_too() {
        let earned = Earned {
            amount: 100,
            step: 1,
            until: Some(day(10)),
        };
        let bronze = given("Bronze", 0, Some(3));
        let (policy, until) = (policy(), |n| Some(day(n)));
        let lowered = held(&policy, earned, Some(&bronze));
        assert_eq!((lowered.tier, lowered.valid_until), ("Bronze", until(3)));
        let alone = held(&policy, earned, None);
        assert_eq!((alone.tier, alone.valid_until), ("Silver", until(10)));
        let unknown = given("Gold", 0, Some(3));
        assert_eq!(held(&policy, earned, Some(&unknown)), alone);
    }

    proptest! {
        /// The tier told holds until `valid_until`, whatever was earned and given.
        #[test]
        fn the_tier_stays_what_it_is_until_said(
            earnings in prop::collection::vec((0_i64..80, 0_i64..40), 0..8),
            (from, length) in (0_i64..40, prop::option::of(0_i64..20)),
            is_given in any::<bool>(),
            as_of in 0_i64..50,
        ) {
            let policy = policy();
            let silver = given("Silver", from, length.map(|length| from + length));
            let tier_at = |at: i64| {
                let window = policy.summed_over().unwrap();
                let instant = Instant { as_of: day(at), window };
                let qualification = earnings.iter().fold(Qualification::default(), |sum, (points, earned)| {
                    sum.with(*points, day(*earned), instant)
                });
                let winning = Some(&silver).filter(|silver| is_given && silver.wins_at(day(at)));
                let held = held(&policy, policy.earned_by(qualification, window), winning);
                (held.tier.to_owned(), held.valid_until)
            };
            // An override that is yet to come is no passing of time: it is given when it starts.
            prop_assume!(!is_given || from <= as_of);
            let (told, until) = tier_at(as_of);
            let until = until.map_or(100, |until| (until - Timestamp::EPOCH).num_days());
            for later in as_of..until {
                prop_assert_eq!(&tier_at(later).0, &told);
            }
        }
    }
}
