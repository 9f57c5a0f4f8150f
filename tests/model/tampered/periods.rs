//! Until when a tier is held, and decided anew.

use super::*;
use crate::answers::stamp;
use crate::model::{DAY, GRACE, Period, start_of};
use crate::operations::Recalculate;

const CLUB: Period = Period::CalendarYear { grace: GRACE };

/// The place of the tier on a ladder of three.
fn place(points: &[(i64, i64)], at: i64) -> usize {
    let enough = |amount: i64| usize::from(amount >= 100) + usize::from(amount >= 200);
    CLUB.earned(points, at, enough).place
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

fn recalculate() -> Request {
    Request::Recalculate(Recalculate {
        program_id: "default".to_owned(),
        customers: vec![ALICE.to_owned(), BOB.to_owned()],
    })
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

#[test]
fn who_is_not_moved_is_found() {
    let mut events = history(&[earn(100), recalculate(), balance()]);
    let Ok(Response::Recalculate(told)) = &mut events[1].answer else {
        panic!("{:#?}", events[1]);
    };
    assert_eq!(told.tiers[ALICE], "Silver");
    told.moved.insert(ALICE.to_owned(), "Silver".to_owned());
    check(nobody(), &events).unwrap();
    let Ok(Response::Recalculate(told)) = &mut events[1].answer else {
        panic!("{:#?}", events[1]);
    };
    told.moved.clear();
    told.tiers.insert(ALICE.to_owned(), "Bronze".to_owned());
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn who_is_moved_elsewhere_is_found() {
    let mut events = history(&[earn(100), recalculate()]);
    let Ok(Response::Recalculate(told)) = &mut events[1].answer else {
        panic!("{:#?}", events[1]);
    };
    told.moved.insert(ALICE.to_owned(), "Gold".to_owned());
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_comes_alone_amid_a_change_is_found() {
    let mut events = history(&[earn(100), recalculate()]);
    events[1].started = events[0].started;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("came amid"), "{found}");
}
