//! Until when a tier is held, and decided anew.

use super::*;
use crate::answers::stamp;
use crate::model::{DAY, GRACE, Record, earned, start_of};

/// The place of the tier on a ladder of three.
fn place(points: &[(i64, i64)], at: i64) -> usize {
    place_by(&policy(), 0, points, at)
}

/// Years of the calendar; one tier down at a time.
fn policy() -> pb::TierPolicy {
    let tier = |threshold| pb::Tier {
        threshold,
        ..Default::default()
    };
    pb::TierPolicy {
        tiers: [0, 100, 200].map(tier).to_vec(),
        period: pb::TierPeriod::CalendarYear.into(),
        downgrade: pb::TierDowngrade::OneDown.into(),
        grace_days: i32::try_from(GRACE / DAY).unwrap(),
        ..Default::default()
    }
}

fn place_by(policy: &pb::TierPolicy, enrolled_at: i64, counted: &[(i64, i64)], at: i64) -> usize {
    let record = Record {
        enrolled_at,
        counted,
    };
    earned(policy, &record, at).place
}

#[test]
fn to_what_is_earned_a_tier_falls_at_once_after_the_grace() {
    let mut policy = policy();
    policy.set_downgrade(pb::TierDowngrade::ToEarned);
    let points = [(start_of(2001), 250), (start_of(2002), 100)];
    let end = |year| start_of(year) + GRACE;
    let at = [
        (end(2003) - 1, 2),
        (end(2003), 1),
        (end(2004) - 1, 1),
        (end(2004), 0),
    ];
    for (at, expected) in at {
        assert_eq!(place_by(&policy, 0, &points, at), expected, "at {at}");
    }
}

#[test]
fn a_membership_year_begins_on_28_february_where_there_is_no_leap_day() {
    let mut policy = policy();
    policy.set_downgrade(pb::TierDowngrade::ToEarned);
    policy.set_period(pb::TierPeriod::MembershipYear);
    policy.grace_days = 0;
    policy.utc_offset_minutes = 60;
    let hour = DAY / 24;
    // 29 February 2000, an hour before midnight by UTC: 1 March where the policy says; and a day earlier.
    let enrolled = start_of(2000) + 60 * DAY - hour;
    for (enrolled_at, begins) in [(enrolled, 59), (enrolled - 1, 58)] {
        let second = start_of(2002) + begins * DAY - hour;
        let at = |at| place_by(&policy, enrolled_at, &[(start_of(2001), 200)], at);
        assert_eq!((at(second - 1), at(second)), (2, 0), "{enrolled_at}");
    }
}

#[test]
fn in_a_window_a_tier_is_held_since_it_was_reached_last() {
    let mut policy = pb::TierPolicy {
        window_days: 10,
        grace_days: 2,
        ..policy()
    };
    policy.set_period(pb::TierPeriod::Rolling);
    // The third is enough for a tier below, the second together with the first for the highest.
    let points = [(0, 120), (5 * DAY, 80), (14 * DAY, 100)];
    let at = |policy: &pb::TierPolicy, at| place_by(policy, 0, &points, at);
    let mut to_earned = policy.clone();
    to_earned.set_downgrade(pb::TierDowngrade::ToEarned);
    assert_eq!(at(&policy, 17 * DAY - 1), 2);
    assert_eq!((at(&policy, 17 * DAY), at(&to_earned, 17 * DAY)), (1, 1));
    assert_eq!(at(&to_earned, 26 * DAY - 1), 1);
    assert_eq!(at(&to_earned, 26 * DAY), 0);
    assert_eq!(at(&policy, 27 * DAY - 1), 1);
    assert_eq!(at(&policy, 27 * DAY), 0);
}

#[test]
fn a_tier_is_held_until_the_next_year_and_its_grace_have_ended() {
    let points = [(start_of(2001), 250)];
    let end = |year| start_of(year) + GRACE;
    let at = [
        (start_of(2001) - 1, 0),
        (start_of(2001), 2),
        (end(2002), 2),
        (end(2003) - 1, 2),
        (end(2003), 1),
        (end(2004) - 1, 1),
        (end(2004), 0),
    ];
    for (at, expected) in at {
        assert_eq!(place(&points, at), expected, "at {at}");
    }
}

#[test]
fn what_a_new_year_is_enough_for_is_held_as_well() {
    let points = [(start_of(2001), 250), (start_of(2003) + DAY, 100)];
    assert_eq!(place(&points, start_of(2003) + GRACE), 1);
    assert_eq!(place(&points, start_of(2005) + GRACE - 1), 1);
    assert_eq!(place(&points, start_of(2005) + GRACE), 0);
}

fn tier(at: i64) -> Request {
    Request::Tier(pb::GetTierRequest {
        customer_id: ALICE.to_owned(),
        as_of: Some(stamp(at)),
        ..Default::default()
    })
}

#[test]
fn a_tier_that_outlives_its_window_is_found() {
    let mut events = history(&[earn(100), tier(365 * DAY), tier(365 * DAY + 1)]);
    check(nobody(), &events).unwrap();
    events[2].answer = events[1].answer.clone();
    assert!(check(nobody(), &events).is_err());
}
