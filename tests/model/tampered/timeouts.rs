//! Holds of a merged member that time out.

use super::sweeps::short_hold;
use super::*;
use crate::operations::{Sweep, Unmerge};

/// The hold of who was merged times out, and a sweep finds it.
fn swept() -> Vec<Event> {
    history(&[earned(), held(), merged(), sweep(), balance()])
}

/// The end of the merge finds it.
fn unmerged() -> Vec<Event> {
    let undo = Request::UnmergeMembers(Unmerge {
        asked: pb::UnmergeMembersRequest {
            merge_id: "merge 3".to_owned(),
            ..Default::default()
        },
        whose: vec![ALICE.to_owned(), BOB.to_owned()],
    });
    history(&[earned(), held(), merged(), undo, balance()])
}

fn earned() -> Request {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    Request::Earn(pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        ..earn
    })
}

fn held() -> Request {
    let Request::Authorize(hold) = short_hold() else {
        unreachable!("a hold")
    };
    Request::Authorize(pb::AuthorizeHoldRequest {
        customer_id: BOB.to_owned(),
        ..hold
    })
}

fn merged() -> Request {
    Request::MergeMembers(pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        ..Default::default()
    })
}

fn sweep() -> Request {
    Request::Sweep(Sweep {
        asked: pb::SweepExpiryRequest::default(),
        customers: vec![ALICE.to_owned(), BOB.to_owned()],
        of: Some(("default".to_owned(), BOB.to_owned())),
        others: vec![ALICE.to_owned()],
        is_unasked: false,
    })
}

fn passed_on(events: &mut [Event]) -> &mut Vec<pb::PassedOn> {
    let told = events[3].answer.as_mut().unwrap();
    told.passed_on().unwrap()
}

fn available(events: &mut [Event]) -> &mut i64 {
    match &mut events[4].answer {
        Ok(Response::Balance(told)) => &mut told.balance.as_mut().unwrap().available,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn what_a_sweep_lets_go_goes_on_to_who_stands_for_the_member() {
    let mut events = swept();
    check(nobody(), &events).unwrap();
    let steps = passed_on(&mut events);
    assert_eq!((steps.len(), steps[0].moved[0].points), (1, 50));
    assert_eq!(steps[0].to_customer_id, ALICE);
    assert_eq!(*available(&mut events), 100);
}

#[test]
fn what_a_sweep_passes_on_in_part_or_to_nobody_is_found() {
    let forgeries: [fn(&mut Vec<pb::PassedOn>); 5] = [
        |steps| steps.clear(),
        |steps| steps[0].moved[0].points -= 1,
        |steps| steps[0].moved[0].lots.clear(),
        |steps| BOB.clone_into(&mut steps[0].to_customer_id),
        |steps| steps[0].consistency_token.clear(),
    ];
    for forge in forgeries {
        let mut events = swept();
        forge(passed_on(&mut events));
        assert!(check(nobody(), &events).is_err());
    }
    let mut events = swept();
    *available(&mut events) = 50;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_dry_sweep_that_does_not_tell_what_would_go_on_is_found() {
    let Request::Sweep(mut dry) = sweep() else {
        unreachable!("a sweep")
    };
    dry.asked.dry_run = true;
    let mut events = history(&[earned(), held(), merged(), Request::Sweep(dry), balance()]);
    check(nobody(), &events).unwrap();
    assert_eq!(*available(&mut events), 50);
    passed_on(&mut events).clear();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_timed_out_goes_on_before_a_merge_ends_and_comes_back() {
    let mut events = unmerged();
    check(nobody(), &events).unwrap();
    assert_eq!(*available(&mut events), 0);
    let Ok(Response::UnmergeMembers(told)) = &mut events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    assert_eq!((told.moved[0].points, told.returned[0].points), (100, 100));
    assert_eq!(told.absorbed_balances[0].available, 100);
    // As if the hold were still there.
    told.moved[0].points = 50;
    assert!(check(nobody(), &events).is_err());
}
