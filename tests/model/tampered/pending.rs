//! Points that wait for an event.

use super::*;

pub(super) fn waiting() -> Request {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    Request::Earn(pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn
    })
}

fn activate() -> Request {
    Request::Activate(pb::ActivatePendingRequest {
        customer_id: ALICE.to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "100".to_owned(),
        ..Default::default()
    })
}

fn cancel() -> Request {
    Request::Cancel(pb::CancelPendingRequest {
        customer_id: ALICE.to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "100".to_owned(),
        ..Default::default()
    })
}

#[test]
fn points_that_are_settled_once_pass() {
    let events = history(&[
        waiting(),
        balance(),
        activate(),
        activate(),
        cancel(),
        balance(),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.refusals), (2, 2));
    assert_eq!(compared.reasons["ALREADY_ACTIVATED"], 2);
}

#[test]
fn points_that_can_be_spent_before_their_event_are_found() {
    let mut events = history(&[waiting(), balance()]);
    let Ok(Response::Balance(told)) = &mut events[1].answer else {
        panic!("{:#?}", events[1]);
    };
    let told = told.balance.as_mut().unwrap();
    told.available = std::mem::take(&mut told.pending);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn points_that_are_activated_after_they_were_cancelled_are_found() {
    let mut events = history(&[waiting(), cancel(), activate()]);
    let activated = history(&[waiting(), balance(), activate()]);
    events[2].answer = activated[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("ALREADY_CANCELLED"), "{found}");
}
