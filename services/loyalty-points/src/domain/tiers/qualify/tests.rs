//! Against models that walk through time day by day, over everything that ever counted.

use proptest::prelude::*;

use super::super::Rules;
use super::super::fixtures::tier;
use super::super::period::Midnight;
use super::super::{Metric, Period};
use super::*;

const UTC: Midnight = Midnight {
    utc_offset_minutes: 0,
};
/// Days of the walk.
const DAYS: i64 = 2000;

fn day(n: i64) -> Timestamp {
    Timestamp::EPOCH + TimeDelta::days(n)
}

fn policy(period: Period, downgrade: Downgrade, grace_days: i64) -> TierPolicy {
    let rules = Rules {
        metric: Metric::PointsEarned,
        period,
        downgrade,
        grace_days,
    };
    let tiers = vec![
        tier("Bronze", 1, 0),
        tier("Silver", 2, 100),
        tier("Gold", 3, 200),
        tier("Platinum", 4, 300),
    ];
    TierPolicy::new(rules, tiers).unwrap()
}

fn counted(earnings: &[(i64, i64)]) -> Vec<Counted> {
    let mut counted: Vec<_> = earnings
        .iter()
        .map(|(amount, on)| Counted {
            amount: *amount,
            at: day(*on),
        })
        .collect();
    counted.sort_by_key(|counted| counted.at);
    counted
}

fn step_at(policy: &TierPolicy, earnings: &[(i64, i64)], on: i64) -> usize {
    let counted = counted(earnings);
    let record = Record {
        enrolled_at: day(0),
        counted: &counted,
    };
    earned(policy, record, day(on)).step
}

fn steps(policy: &TierPolicy, earnings: &[(i64, i64)], days: &[i64]) -> Vec<usize> {
    days.iter()
        .map(|on| step_at(policy, earnings, *on))
        .collect()
}

#[test]
fn a_rolling_tier_is_held_for_its_window_and_grace_after_it_was_last_qualified_for() {
    let to_earned = policy(Period::Rolling { days: 100 }, Downgrade::ToEarned, 10);
    // Reached on day 50 with both; the first leaves the window on day 100.
    let earnings = [(60, 0), (60, 50)];
    assert_eq!(
        steps(&to_earned, &earnings, &[49, 50, 100, 159, 160]),
        [0, 1, 1, 1, 0]
    );
    // Platinum falls to Silver, which day 90 qualified for by itself once the first had left.
    let earnings = [(300, 0), (100, 105)];
    assert_eq!(
        steps(&to_earned, &earnings, &[0, 109, 110, 214, 215]),
        [3, 3, 1, 1, 0]
    );
    let one_down = policy(Period::Rolling { days: 100 }, Downgrade::OneDown, 10);
    assert_eq!(
        steps(&one_down, &[(300, 0)], &[109, 110, 209, 210, 309, 310]),
        [3, 2, 2, 1, 1, 0]
    );
}

#[test]
fn a_years_tier_is_held_through_the_next_year_and_its_grace() {
    let to_earned = policy(Period::CalendarYear(UTC), Downgrade::ToEarned, 30);
    // 1970 and 1971 have 365 days, 1972 has 366.
    let earnings = [(200, 10)];
    assert_eq!(
        steps(&to_earned, &earnings, &[9, 10, 365, 729, 730, 759, 760]),
        [0, 2, 2, 2, 2, 2, 0]
    );
    // Enough in the grace keeps it.
    let rescued = [(200, 10), (200, 740)];
    assert_eq!(steps(&to_earned, &rescued, &[759, 760, 1000]), [2, 2, 2]);
    let one_down = policy(Period::CalendarYear(UTC), Downgrade::OneDown, 30);
    assert_eq!(
        steps(&one_down, &earnings, &[759, 760, 1096, 1125, 1126]),
        [2, 1, 1, 1, 0]
    );
}

#[test]
fn nothing_left_is_nothing_to_wait_for() {
    for period in [Period::Rolling { days: 10 }, Period::CalendarYear(UTC)] {
        let policy = policy(period, Downgrade::ToEarned, 5);
        let record = Record {
            enrolled_at: day(0),
            counted: &[],
        };
        let nothing = Earned {
            amount: 0,
            step: 0,
            until: None,
        };
        assert_eq!(earned(&policy, record, day(7)), nothing);
    }
}

/// The steps of all days, by walking through them.
fn walk(policy: &TierPolicy, earnings: &[(i64, i64)]) -> Vec<usize> {
    match policy.rules.period {
        Period::Rolling { days } => walk_window(policy, earnings, days),
        Period::CalendarYear(_) | Period::MembershipYear(_) => walk_years(policy, earnings),
    }
}

fn walk_window(policy: &TierPolicy, earnings: &[(i64, i64)], window: i64) -> Vec<usize> {
    let grace = policy.rules.grace_days;
    let reached_on = |on: i64| {
        let inside = |(_, earned): &&(i64, i64)| *earned > on - window && *earned <= on;
        policy.step_for(
            earnings
                .iter()
                .filter(inside)
                .map(|(amount, _)| amount)
                .sum(),
        )
    };
    let earned_on = |on: i64| earnings.iter().any(|(_, earned)| *earned == on);
    let best_since = |on: i64| {
        let days = (on - window - grace + 1).max(0)..=on;
        days.filter(|on| earned_on(*on)).map(reached_on).max()
    };
    // Only for `OneDown`: the last day of each step.
    let (mut step, mut last) = (0, 0);
    let walked = (0..DAYS).map(|on| match policy.rules.downgrade {
        Downgrade::Immediate => reached_on(on),
        Downgrade::ToEarned => best_since(on).unwrap_or(0),
        Downgrade::OneDown => {
            if step > 0 && on > last {
                step -= 1;
                // The step below may have been qualified for later than this one.
                let own = (0..on)
                    .rev()
                    .find(|on| earned_on(*on) && reached_on(*on) >= step);
                let own = own.map_or(0, |own| own + window + grace - 1);
                last = (last + window).max(own);
            }
            if earned_on(on) && reached_on(on) >= step {
                (step, last) = (reached_on(on), on + window + grace - 1);
            }
            step
        }
    });
    walked.collect()
}

fn walk_years(policy: &TierPolicy, earnings: &[(i64, i64)]) -> Vec<usize> {
    let years = Years::of(policy.rules.period, day(0)).unwrap();
    let year_of = |on: i64| years.number(day(on));
    let (mut kept, mut amount, mut day_of_year) = (0, 0, 0);
    let mut last_year = 0;
    let mut walked = Vec::new();
    for on in 0..DAYS {
        if on > 0 && year_of(on) != year_of(on - 1) {
            kept = walked[usize::try_from(on).unwrap() - 1];
            last_year = policy.step_for(amount);
            (amount, day_of_year) = (0, 0);
        }
        if day_of_year == policy.rules.grace_days && last_year < kept {
            kept = match policy.rules.downgrade {
                Downgrade::OneDown => kept - 1,
                _ => last_year,
            };
        }
        day_of_year += 1;
        amount += earnings
            .iter()
            .filter(|(_, earned)| *earned == on)
            .map(|(amount, _)| amount)
            .sum::<i64>();
        walked.push(policy.step_for(amount).max(kept));
    }
    walked
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        (1_i64..300).prop_map(|days| Period::Rolling { days }),
        Just(Period::CalendarYear(UTC)),
        Just(Period::MembershipYear(UTC)),
    ]
}

fn policies() -> impl Strategy<Value = TierPolicy> {
    let downgrades = prop_oneof![
        Just(Downgrade::Immediate),
        Just(Downgrade::ToEarned),
        Just(Downgrade::OneDown)
    ];
    (periods(), downgrades, 0_i64..200).prop_map(|(period, downgrade, grace_days)| {
        match (period, downgrade) {
            (Period::Rolling { .. }, Downgrade::Immediate) => policy(period, downgrade, 0),
            (_, Downgrade::Immediate) => policy(period, Downgrade::ToEarned, grace_days),
            _ => policy(period, downgrade, grace_days),
        }
    })
}

fn earnings() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((1_i64..250, 0_i64..1500), 0..20)
}

proptest! {
    /// On every day, the tier is the one that the model walks to.
    #[test]
    fn the_tier_equals_that_of_a_walk_through_all_days(policy in policies(), earnings in earnings()) {
        let counted = counted(&earnings);
        let record = Record { enrolled_at: day(0), counted: &counted };
        for (on, expected) in (0..).zip(walk(&policy, &earnings)) {
            prop_assert_eq!(earned(&policy, record, day(on)).step, expected, "day {}", on);
        }
    }

    /// What is told stays true until it is said to end, and no longer is needed than what the policy reaches to.
    #[test]
    fn what_is_earned_holds_until_said_and_needs_no_more_than_the_reach(
        policy in policies(),
        earnings in earnings(),
        as_of in 0_i64..DAYS,
    ) {
        let counted = counted(&earnings);
        let record = Record { enrolled_at: day(0), counted: &counted };
        let told = earned(&policy, record, day(as_of));
        let reach = reach(&policy, day(0), day(as_of));
        let needed = &counted[counted.partition_point(|counted| counted.at <= reach)..];
        prop_assert_eq!(earned(&policy, Record { counted: needed, ..record }, day(as_of)), told);
        let until = told.until.map_or(as_of + 800, |until| (until - Timestamp::EPOCH).num_days());
        for later in as_of..until.min(as_of + 800) {
            let then = earned(&policy, record, day(later));
            prop_assert_eq!((then.amount, then.step), (told.amount, told.step), "day {}", later);
        }
        if let Some(until) = told.until {
            prop_assert!(until > day(as_of));
        }
    }
}
