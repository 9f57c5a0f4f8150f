//! Limits of what may be earned.

use super::*;
use pb::LimitExcess::{Clamp, Refuse};
use pb::LimitScope::{Member, Program};

fn set(scope: pb::LimitScope, points: i64, excess: pb::LimitExcess) -> Request {
    Request::SetLimit(pb::SetEarningLimitRequest {
        limit: Some(pb::EarningLimit {
            limit_id: "limit".to_owned(),
            scope: scope.into(),
            window: pb::LimitWindow::Lifetime.into(),
            points,
            excess: excess.into(),
            ..Default::default()
        }),
        reason: "enough".to_owned(),
        ..Default::default()
    })
}

fn take_back(posting: &str) -> Request {
    Request::Reverse(pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: posting.to_owned(),
        ..Default::default()
    })
}

fn usage() -> Request {
    Request::Usage(pb::GetLimitUsageRequest {
        customer_id: ALICE.to_owned(),
        ..Default::default()
    })
}

fn of_bob(request: Request) -> Request {
    match request {
        Request::Earn(it) => Request::Earn(pb::EarnPointsRequest {
            customer_id: BOB.to_owned(),
            source_ref: format!("bob's {}", it.source_ref),
            ..it
        }),
        other => other,
    }
}

#[test]
fn limits_that_are_kept_pass() {
    let events = history(&[
        set(Member, 100, Clamp),
        earn(80),
        earn(50),
        earn(5),
        take_back("posting 2"),
        usage(),
        set(Member, 60, Refuse),
        earn(41),
        earn(40),
        usage(),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.cuts), (6, 1), "{compared:#?}");
    assert_eq!(compared.reasons["LIMIT_REACHED"], 2);
}

#[test]
fn an_earning_beyond_a_cap_is_found() {
    let mut events = history(&[set(Member, 100, Refuse), earn(80), earn(50)]);
    let without = history(&[balance(), earn(80), earn(50)]);
    events[2].answer = without[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
}

#[test]
fn an_earning_that_is_cut_too_much_is_found() {
    let mut events = history(&[set(Member, 100, Clamp), earn(80), earn(50)]);
    let less = history(&[set(Member, 99, Clamp), earn(80), earn(50)]);
    events[2].answer = less[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
}

#[test]
fn what_is_not_given_back_is_found() {
    let requests = |third| [set(Member, 100, Refuse), earn(80), third, usage()];
    let mut events = history(&requests(take_back("posting 2")));
    check(nobody(), &events).unwrap();
    let kept = history(&requests(balance()));
    events[3].answer = kept[3].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_budget_that_is_used_twice_at_once_is_found() {
    let requests = |points| [set(Program, points, Refuse), earn(80), of_bob(earn(80))];
    let mut events = history(&requests(150));
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.reasons["LIMIT_REACHED"], 1);
    let enough = history(&requests(160));
    events[2].answer = enough[2].answer.clone();
    // At the same time each finds room for itself.
    events[2].started = events[1].started;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("a budget holds in no order"), "{found}");
}

#[test]
fn a_limit_that_is_changed_may_be_seen_before_and_after_by_calls_at_the_same_time() {
    let mut events = history(&[
        set(Program, 100, Refuse),
        set(Program, 70, Refuse),
        earn(80),
    ]);
    let refused = events[2].answer.clone();
    let early = history(&[set(Program, 100, Refuse), balance(), earn(80)]);
    events[2].answer = early[2].answer.clone();
    assert!(check(nobody(), &events).is_err());
    events[2].started = events[1].started;
    check(nobody(), &events).unwrap();
    events[2].answer = refused;
    check(nobody(), &events).unwrap();
}
