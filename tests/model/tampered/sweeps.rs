//! Sweeps.

use super::*;
use crate::answers::stamp;
use crate::operations::{Sweep, Swept};

pub fn expiring() -> Request {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    Request::Earn(pb::EarnPointsRequest {
        expires_at: Some(stamp(3)),
        ..earn
    })
}

/// For two microseconds.
pub fn short_hold() -> Request {
    let Request::Authorize(hold) = hold(50) else {
        unreachable!("a hold")
    };
    Request::Authorize(pb::AuthorizeHoldRequest {
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 2_000,
        }),
        ..hold
    })
}

/// The part of it that is about Alice.
pub fn sweep() -> Request {
    Request::Sweep(Sweep {
        asked: pb::SweepExpiryRequest::default(),
        customers: Vec::new(),
        of: Some(("default".to_owned(), ALICE.to_owned())),
        others: Vec::new(),
        is_unasked: false,
    })
}

fn told(event: &mut Event) -> &mut Swept {
    match &mut event.answer {
        Ok(Response::Sweep(told)) => told,
        other => panic!("{other:#?}"),
    }
}

fn member(event: &mut Event) -> &mut pb::SweptMember {
    &mut told(event).messages[0].swept[0]
}

/// What nobody asked for has a revision all the same.
pub fn set_latest(event: &mut Event, revision: i64) {
    let Ok(Response::Transactions(page)) = &mut event.answer else {
        panic!("{event:#?}");
    };
    page.transactions[0].revision = revision;
}

#[test]
fn a_sweep_that_writes_off_what_has_expired_passes() {
    let mut events = history(&[expiring(), redeem(30), sweep(), postings()]);
    let swept = member(&mut events[2]);
    assert_eq!((swept.holds_expired, swept.points_expired), (0, 70));
    set_latest(&mut events[3], 3);
    check(nobody(), &events).unwrap();
}

#[test]
fn a_sweep_has_the_place_of_its_revision_however_long_it_takes() {
    let mut events = history(&[expiring(), redeem(30), sweep(), postings()]);
    set_latest(&mut events[3], 3);
    events[2].started = 0;
    events[2].window = Window::Shown(vec![1, 2, 3]);
    check(nobody(), &events).unwrap();
    // Written off before they expire.
    events[2].window = Window::Shown(vec![1, 2]);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_sweep_that_leaves_something_is_found() {
    let mut events = history(&[expiring(), redeem(30), sweep(), postings()]);
    let none = history(&[expiring(), redeem(30), balance(), postings()]);
    events[3].answer = none[3].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_sweep_that_tells_too_little_or_too_much_is_found() {
    let events = history(&[expiring(), redeem(30), sweep()]);
    for (points, holds, notices) in [(-1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        let mut events = events.clone();
        let swept = member(&mut events[2]);
        swept.points_expired += points;
        swept.holds_expired += holds;
        swept.notices += notices;
        assert!(check(nobody(), &events).is_err());
    }
}

#[test]
fn a_sweep_that_finds_nothing_where_something_is_due_is_found() {
    let mut events = history(&[expiring(), redeem(30), sweep()]);
    *told(&mut events[2]) = Swept::default();
    assert!(check(nobody(), &events).is_err());
    // There was nothing when it began.
    events[2].started = 0;
    events[2].window = Window::Shown(vec![1, 2, 3]);
    check(nobody(), &events).unwrap();
}

#[test]
fn a_hold_that_times_out_twice_is_found() {
    let mut events = history(&[earn(100), short_hold(), balance(), sweep(), sweep()]);
    assert_eq!(member(&mut events[3]).holds_expired, 1);
    check(nobody(), &events).unwrap();
    let again = events[3].answer.clone();
    events[4].answer = again;
    let told = told(&mut events[4]);
    told.posted_at.values_mut().for_each(|at| *at = 5);
    set_revision(events[4].answer.as_mut().unwrap(), 5);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_notice_that_is_told_twice_or_not_at_all_is_found() {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    let soon = Request::Earn(pb::EarnPointsRequest {
        expires_at: Some(stamp(1_000)),
        ..earn
    });
    let mut events = history(&[soon, sweep(), sweep()]);
    let swept = member(&mut events[1]);
    assert_eq!((swept.notices, swept.points_expired), (1, 0));
    check(nobody(), &events).unwrap();
    let nothing = events[2].answer.clone();
    let mut twice = events.clone();
    twice[2].answer = twice[1].answer.clone();
    set_revision(twice[2].answer.as_mut().unwrap(), 3);
    assert!(check(nobody(), &twice).is_err());
    events[1].answer = nothing;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_sweep_of_which_counts_do_not_agree_with_its_members_is_found() {
    let mut events = history(&[expiring(), redeem(30), sweep()]);
    let mut all = events[2].clone();
    let Request::Sweep(asked) = &mut all.request else {
        panic!("{all:#?}");
    };
    asked.of = None;
    let message = &mut told(&mut all).messages[0];
    (message.members, message.points_expired) = (1, 70);
    events.push(all);
    check(nobody(), &events).unwrap();
    let tamper: [fn(&mut Swept); 5] = [
        |it| it.messages[0].points_expired += 1,
        |it| it.messages[0].members_failed += 1,
        |it| it.messages.push(it.messages[0].clone()),
        |it| it.messages[0].swept[0].customer_id = BOB.to_owned(),
        |it| it.messages[0].swept[0].consistency_token.clear(),
    ];
    for tamper in tamper {
        let mut events = events.clone();
        tamper(told(&mut events[3]));
        let found = check(nobody(), &events).unwrap_err();
        assert!(found.contains("agree with itself"), "{found}");
    }
}
