//! How a member's tier will move by the passing of time alone: a pure function of what was earned, the policy,
//! the override and the instant.

use std::collections::BTreeMap;

use common::time::Timestamp;

use super::overrides::TierOverride;
use super::tiers::TierPolicy;

/// Moves told at most.
pub const MOVES_MAX: usize = 100;

/// Points that count, once they are earned, for as long as the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earning {
    /// How many.
    pub points: i64,
    /// When.
    pub earned_at: Timestamp,
}

/// A move to another tier that is to come unless something is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// When.
    pub at: Timestamp,
    /// From.
    pub from_tier: String,
    /// To.
    pub to_tier: String,
    /// Points that count then.
    pub points: i64,
    /// Points missing then for staying in the tier before; 0 for a move up.
    pub missing: i64,
}

/// What a projection starts from.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The instant.
    pub as_of: Timestamp,
    /// Points earned in the window that ends there, and later.
    pub earnings: &'a [Earning],
    /// The tier given by hand, if one wins then.
    pub winning: Option<&'a TierOverride>,
}

/// The moves after an instant, in order.
pub fn project(policy: &TierPolicy, start: Start<'_>) -> Vec<Move> {
    let Start {
        as_of,
        earnings,
        winning,
    } = start;
    let window = policy.window();
    let mut points = 0;
    let mut changes = BTreeMap::<Timestamp, i64>::new();
    for earning in earnings {
        if earning.earned_at <= as_of {
            points += earning.points;
        } else {
            *changes.entry(earning.earned_at).or_default() += earning.points;
        }
        *changes.entry(earning.earned_at + window).or_default() -= earning.points;
    }
    if let Some(ends_at) = winning.and_then(|winning| winning.ends_at) {
        changes.entry(ends_at).or_default();
    }
    let tier_at = |at: Timestamp, points: i64| {
        let given = winning.filter(|winning| !winning.has_ended(at));
        given.map_or(&policy.tier_for(points).name, |given| &given.tier)
    };
    let mut tier = tier_at(as_of, points);
    let mut moves = Vec::new();
    for (at, change) in changes {
        points += change;
        let next = tier_at(at, points);
        if next == tier {
            continue;
        }
        let falls = policy.rank_of(next) < policy.rank_of(tier);
        let threshold = policy.threshold_of(tier).filter(|_| falls);
        moves.push(Move {
            at,
            from_tier: tier.clone(),
            to_tier: next.clone(),
            points,
            missing: threshold.map_or(0, |threshold| (threshold - points).max(0)),
        });
        tier = next;
        if moves.len() == MOVES_MAX {
            break;
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::super::tiers::Tier;
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::EPOCH + TimeDelta::days(n)
    }

    fn policy() -> TierPolicy {
        let tier = |name: &str, rank, threshold| Tier {
            name: name.to_owned(),
            rank,
            threshold,
        };
        let tiers = vec![
            tier("Bronze", 1, 0),
            tier("Silver", 2, 100),
            tier("Gold", 3, 200),
        ];
        TierPolicy::new(10, tiers).unwrap()
    }

    fn gold(ends_at: i64) -> TierOverride {
        TierOverride {
            tier: "Gold".to_owned(),
            actor: "ann".to_owned(),
            reason: "test".to_owned(),
            created_at: day(0),
            ends_at: Some(day(ends_at)),
        }
    }

    fn earned(earnings: &[(i64, i64)]) -> Vec<Earning> {
        let earning = |(points, on): &(i64, i64)| Earning {
            points: *points,
            earned_at: day(*on),
        };
        earnings.iter().map(earning).collect()
    }

    fn told(earnings: &[(i64, i64)], winning: Option<&TierOverride>) -> Vec<(i64, String, i64)> {
        let earnings = earned(earnings);
        let start = Start {
            as_of: day(5),
            earnings: &earnings,
            winning,
        };
        let moves = project(&policy(), start).into_iter();
        moves
            .map(|m| ((m.at - Timestamp::EPOCH).num_days(), m.to_tier, m.missing))
            .collect()
    }

    fn step(day: i64, tier: &str, missing: i64) -> (i64, String, i64) {
        (day, tier.to_owned(), missing)
    }

    #[test]
    fn points_age_out_one_after_the_other() {
        let falls = [step(11, "Silver", 90), step(13, "Bronze", 90)];
        assert_eq!(told(&[(90, 1), (100, 3), (10, 4)], None), falls);
        assert_eq!(told(&[], None), []);
        let up_and_down = [step(7, "Silver", 0), step(17, "Bronze", 100)];
        assert_eq!(told(&[(100, 7)], None), up_and_down);
    }

    #[test]
    fn an_override_puts_a_fall_off_until_it_ends() {
        assert_eq!(
            told(&[(100, 1)], Some(&gold(12))),
            [step(12, "Bronze", 200)]
        );
        let falls = [step(8, "Silver", 100), step(11, "Bronze", 100)];
        assert_eq!(told(&[(100, 1)], Some(&gold(8))), falls);
    }

    proptest! {
        /// At every later day, the tier is the one that the moves until then lead to.
        #[test]
        fn the_moves_lead_to_the_tier_of_every_later_instant(
            earnings in prop::collection::vec((1_i64..120, 0_i64..30), 0..12),
            ends_at in prop::option::of(1_i64..40),
            as_of in 0_i64..30,
        ) {
            let policy = policy();
            let window = policy.window_days();
            let given = ends_at.map(gold).filter(|given| !given.has_ended(day(as_of)));
            let tier_at = |at: i64| {
                if given.as_ref().is_some_and(|given| given.wins_at(day(at))) {
                    return "Gold".to_owned();
                }
                let counts = |on: i64| on > at - window && on <= at;
                let sum = earnings.iter().filter(|(_, on)| counts(*on)).map(|(points, _)| points).sum();
                policy.tier_for(sum).name.clone()
            };
            let known: Vec<_> = earnings.iter().copied().filter(|(_, on)| *on > as_of - window).collect();
            let known = earned(&known);
            let start = Start { as_of: day(as_of), earnings: &known, winning: given.as_ref() };
            let moves = project(&policy, start);
            let mut tier = tier_at(as_of);
            for later in as_of + 1..80 {
                for reached in moves.iter().filter(|m| m.at == day(later)) {
                    prop_assert_eq!(&reached.from_tier, &tier);
                    prop_assert_ne!(&reached.to_tier, &tier);
                    tier.clone_from(&reached.to_tier);
                }
                prop_assert_eq!(&tier_at(later), &tier);
            }
        }
    }
}
