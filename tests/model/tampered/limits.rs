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

fn end() -> Request {
    Request::EndLimit(pb::EndEarningLimitRequest {
        limit_id: "limit".to_owned(),
        reason: "enough of it".to_owned(),
        ..Default::default()
    })
}

fn trace(posting: &str) -> Request {
    Request::Trace(pb::GetDecisionTraceRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: posting.to_owned(),
        ..Default::default()
    })
}

/// The same history, but for an answer that is what it would have been after other requests.
fn with_answer_of(n: usize, requests: &[Request], others: &[Request]) -> Vec<Event> {
    let mut events = history(requests);
    events[n].answer.clone_from(&history(others)[n].answer);
    assert_ne!(events[n].answer, history(requests)[n].answer);
    events
}

/// So much is told to be used of the limit.
fn tell_usage(event: &mut Event, used: i64) {
    let Ok(Response::Usage(told)) = &mut event.answer else {
        panic!("no usage: {event:#?}");
    };
    let usage = &mut told.usages[0];
    (usage.used, usage.remaining) = (used, 100 - used);
}

#[test]
fn limits_that_begin_and_end_pass() {
    let events = history(&[
        earn(90),
        end(),
        set(Member, 100, Clamp),
        earn(80),
        end(),
        end(),
        earn(50),
        usage(),
        set(Member, 60, Refuse),
        earn(40),
        take_back("posting 4"),
        earn(41),
        usage(),
        trace("posting 1"),
        trace("posting 4"),
        trace("posting 7"),
        trace("posting 12"),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.changes, 8, "{compared:#?}");
    for reason in ["LIMIT_NOT_FOUND", "LIMIT_ENDED", "LIMIT_REACHED"] {
        assert_eq!(compared.reasons[reason], 1, "{compared:#?}");
    }
}

#[test]
fn a_limit_that_has_ended_and_still_cuts_is_found() {
    let requests = |third| [set(Member, 100, Clamp), earn(80), third, earn(50)];
    let events = with_answer_of(3, &requests(end()), &requests(balance()));
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
}

#[test]
fn a_limit_that_has_ended_and_still_refuses_is_found() {
    let requests = |third| [set(Member, 100, Refuse), earn(80), third, earn(50)];
    let events = with_answer_of(3, &requests(end()), &requests(balance()));
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_limit_that_has_ended_and_still_counts_is_found() {
    let requests = |second| {
        [
            set(Member, 100, Clamp),
            second,
            earn(80),
            trace("posting 3"),
        ]
    };
    let mut events = with_answer_of(3, &requests(end()), &requests(balance()));
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
    // At the same time it may have counted still.
    events[2].started = events[1].started;
    check(nobody(), &events).unwrap();
}

#[test]
fn a_budget_that_has_ended_and_still_counts_is_found() {
    let requests = |second| {
        [
            set(Program, 100, Clamp),
            second,
            earn(80),
            trace("posting 3"),
        ]
    };
    let mut events = with_answer_of(3, &requests(end()), &requests(balance()));
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("a budget holds in no order"), "{found}");
    events[2].started = events[1].started;
    check(nobody(), &events).unwrap();
}

#[test]
fn a_new_limit_that_does_not_count_is_found() {
    let requests = |first| [first, earn(80), trace("posting 2")];
    let (with, without) = (requests(set(Member, 100, Refuse)), requests(balance()));
    let mut events = with_answer_of(2, &with, &without);
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
    events[1].started = events[0].started;
    check(nobody(), &events).unwrap();
}

#[test]
fn a_limit_that_counts_what_was_earned_before_is_found() {
    let mut events = history(&[earn(80), set(Member, 100, Refuse), usage()]);
    check(nobody(), &events).unwrap();
    tell_usage(&mut events[2], 80);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn an_earning_that_is_counted_otherwise_than_it_is_used_is_found() {
    // At the same time as the limit begins: by the trace it is not counted, by the usage it is.
    let requests = |first| [first, earn(80), trace("posting 2"), usage()];
    let (with, without) = (requests(set(Member, 100, Refuse)), requests(balance()));
    let mut events = with_answer_of(2, &with, &without);
    events[1].started = events[0].started;
    assert!(check(nobody(), &events).is_err());
    tell_usage(&mut events[3], 0);
    check(nobody(), &events).unwrap();
}

#[test]
fn another_version_or_other_points_of_a_trace_are_found() {
    let requests = |points| [set(Member, points, Clamp), earn(80), trace("posting 2")];
    let events = history(&requests(100));
    check(nobody(), &events).unwrap();
    let tell = |change: fn(&mut pb::DecisionLimit)| {
        let mut events = events.clone();
        let Ok(Response::Trace(told)) = &mut events[2].answer else {
            panic!("it is told");
        };
        change(&mut told.limits[0]);
        check(nobody(), &events).unwrap_err()
    };
    for found in [
        tell(|it| it.version += 1),
        tell(|it| it.points_after -= 1),
        tell(|it| it.limit_id.push('s')),
        tell(|it| it.window_start = Some(crate::answers::stamp(0))),
    ] {
        assert!(found.contains("no state of the limits explains"), "{found}");
    }
}

#[test]
fn two_traces_of_one_posting_that_differ_are_found() {
    let earned = [earn(80), trace("posting 1"), trace("posting 1")];
    let mut events = history(&earned);
    check(nobody(), &events).unwrap();
    let counted = history(&[set(Member, 100, Refuse), earn(80), trace("posting 2")]);
    events[2].answer = counted[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("it was decided otherwise before"), "{found}");
}
