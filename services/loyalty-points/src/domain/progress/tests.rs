use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::tiers::fixtures::tier;
use super::super::tiers::versions::PolicyVersion;
use super::super::tiers::{Rules, TierPolicy};
use super::*;

fn day(n: i64) -> Timestamp {
    Timestamp::EPOCH + TimeDelta::days(n)
}

fn policy(days: i64, silver: i64) -> TierPolicy {
    let tiers = vec![
        tier("Bronze", 1, 0),
        tier("Silver", 2, silver),
        tier("Gold", 3, 200),
    ];
    TierPolicy::new(Rules::rolling(days), tiers).unwrap()
}

fn version(version: i64, from: i64, policy: TierPolicy) -> PolicyVersion {
    PolicyVersion {
        version,
        effective_at: day(from),
        published_at: day(0),
        actor: String::new(),
        reason: String::new(),
        policy,
    }
}

fn one() -> PolicyVersions {
    PolicyVersions::new(vec![version(1, 0, policy(10, 100))]).unwrap()
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

fn earned(earnings: &[(i64, i64)]) -> Counts {
    let counted = |(amount, on): &(i64, i64)| Counted {
        amount: *amount,
        at: day(*on),
    };
    let mut counts = Counts::default();
    let points = counts.of_mut(Metric::PointsEarned);
    points.extend(earnings.iter().map(counted));
    points.sort_by_key(|counted| counted.at);
    counts
}

fn start<'a>(as_of: i64, counts: &'a Counts, winning: Option<&'a TierOverride>) -> Start<'a> {
    Start {
        as_of: day(as_of),
        enrolled_at: day(0),
        counts,
        winning,
    }
}

fn told(earnings: &[(i64, i64)], winning: Option<&TierOverride>) -> Vec<(i64, String, i64)> {
    told_by(&one(), earnings, winning)
}

fn told_by(
    policies: &PolicyVersions,
    earnings: &[(i64, i64)],
    winning: Option<&TierOverride>,
) -> Vec<(i64, String, i64)> {
    let moves = project(policies, start(5, &earned(earnings), winning)).into_iter();
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

#[test]
fn a_version_that_is_to_hold_moves_too() {
    let versions = vec![
        version(1, 0, policy(10, 100)),
        version(2, 8, policy(10, 60)),
    ];
    let policies = PolicyVersions::new(versions).unwrap();
    let moves = [step(8, "Silver", 0), step(11, "Bronze", 60)];
    assert_eq!(told_by(&policies, &[(70, 1)], None), moves);
}

#[test]
fn years_are_foretold_with_what_is_missing_before_they_end() {
    use super::super::tiers::period::Midnight;
    use super::super::tiers::{Downgrade, Period};
    let midnight = Midnight {
        utc_offset_minutes: 0,
    };
    let rules = Rules {
        metric: Metric::PointsEarned,
        period: Period::CalendarYear(midnight),
        downgrade: Downgrade::OneDown,
        grace_days: 30,
    };
    let tiers = policy(10, 100).tiers().to_vec();
    let yearly = TierPolicy::new(rules, tiers).unwrap();
    let policies = PolicyVersions::new(vec![version(1, 0, yearly)]).unwrap();
    // Held through 1971 and 30 days more; the 60 of 1971 leave 140 to earn by its end.
    let moves = [step(760, "Silver", 140), step(1126, "Bronze", 100)];
    assert_eq!(told_by(&policies, &[(200, 2), (60, 400)], None), moves);
}

proptest! {
    /// At every later day, the tier is the one that the moves until then lead to.
    #[test]
    fn the_moves_lead_to_the_tier_of_every_later_instant(
        earnings in prop::collection::vec((1_i64..120, 0_i64..30), 0..12),
        ends_at in prop::option::of(1_i64..40),
        as_of in 0_i64..30,
    ) {
        let policy = policy(10, 100);
        let window = 10;
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
        let moves = project(&one(), start(as_of, &known, given.as_ref()));
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
