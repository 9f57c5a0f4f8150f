//! Sweeps.

use super::*;
use crate::answers::stamp;
use crate::operations::Sweep;

fn expiring() -> Request {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    Request::Earn(pb::EarnPointsRequest {
        expires_at: Some(stamp(3)),
        ..earn
    })
}

fn sweep() -> Request {
    Request::Sweep(Sweep {
        customers: vec![ALICE.to_owned(), BOB.to_owned()],
    })
}

#[test]
fn a_sweep_that_writes_off_what_has_expired_passes() {
    let mut events = history(&[expiring(), redeem(30), sweep(), postings()]);
    let Ok(Response::Sweep(told)) = &mut events[2].answer else {
        panic!("{:#?}", events[2]);
    };
    assert_eq!((told.members, told.points_expired), (1, 70));
    // Of others too.
    (told.members, told.points_expired) = (2, 90);
    // What nobody asked for has a revision all the same.
    let Ok(Response::Transactions(page)) = &mut events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    page.transactions[0].revision = 3;
    check(nobody(), &events).unwrap();
}

#[test]
fn a_sweep_that_leaves_something_is_found() {
    let mut events = history(&[expiring(), redeem(30), sweep(), postings()]);
    let none = history(&[expiring(), redeem(30), balance(), postings()]);
    events[3].answer = none[3].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_sweep_that_tells_too_little_is_found() {
    let mut events = history(&[expiring(), redeem(30), sweep()]);
    let Ok(Response::Sweep(told)) = &mut events[2].answer else {
        panic!("{:#?}", events[2]);
    };
    told.points_expired -= 1;
    assert!(check(nobody(), &events).is_err());
}
