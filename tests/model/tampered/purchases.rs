//! Purchases that the feed tells of.

use api::customer::v1 as customer;
use api::r#type::v1::Money;

use super::sweeps::short_hold;
use super::*;
use crate::answers::stamp;
use crate::operations::Announce;
use crate::operations::purchases::Happened::{self, Recorded, Voided};

pub(super) fn announce(happened: &[Happened], cents: i64, known: &[&str]) -> Request {
    let purchase = customer::Transaction {
        transaction_id: "purchase".to_owned(),
        customer_id: ALICE.to_owned(),
        occurred_at: Some(stamp(0)),
        total: Some(Money {
            currency_code: "USD".to_owned(),
            micros: cents * 10_000,
        }),
        ..Default::default()
    };
    Request::Announce(Announce {
        id: String::new(),
        purchase,
        happened: happened.to_vec(),
        known: known.iter().map(|id| (*id).to_owned()).collect(),
        is_void: false,
        is_alone: false,
        is_private: false,
    })
}

fn limit(points: i64) -> Request {
    Request::SetLimit(pb::SetEarningLimitRequest {
        limit: Some(pb::EarningLimit {
            limit_id: "limit".to_owned(),
            scope: pb::LimitScope::Member.into(),
            window: pb::LimitWindow::Lifetime.into(),
            points,
            excess: pb::LimitExcess::Clamp.into(),
            ..Default::default()
        }),
        reason: "enough".to_owned(),
        ..Default::default()
    })
}

fn bought() -> Request {
    announce(&[Recorded], 29_99, &[])
}

fn again() -> Request {
    announce(&[Recorded], 29_99, &["posting 1.1"])
}

fn voided() -> Request {
    announce(&[Voided], 29_99, &["posting 1.1"])
}

fn again_once_void() -> Request {
    let Request::Announce(again) = again() else {
        unreachable!("a purchase")
    };
    Request::Announce(Announce {
        is_void: true,
        ..again
    })
}

/// With a hold that has timed out by the last request.
fn with_hold(last: Request) -> Vec<Event> {
    let before = [bought(), earn(100), short_hold(), balance()];
    history(&[&before[..], &[last, postings()]].concat())
}

#[test]
fn purchases_that_earn_once_and_are_taken_back_pass() {
    let events = history(&[
        bought(),
        again(),
        redeem(20),
        voided(),
        voided(),
        again_once_void(),
        balance(),
        postings(),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.idle), (3, 3), "{compared:#?}");
    assert_eq!(compared.met["purchase told again"], 2);
    assert_eq!(compared.met["purchase voided before"], 1);
    let Ok(Response::Balance(told)) = &events[6].answer else {
        panic!("{:#?}", events[6]);
    };
    assert_eq!(told.balance.as_ref().unwrap().debt, 20);
}

#[test]
fn a_purchase_that_is_void_before_it_earns_never_does() {
    let events = history(&[announce(&[Voided, Recorded], 29_99, &[]), balance()]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.changes, 0, "{compared:#?}");
}

#[test]
fn a_purchase_that_earns_too_much_is_found() {
    let mut events = history(&[bought()]);
    let dearer = history(&[announce(&[Recorded], 30_00, &[])]);
    events[0].answer = dearer[0].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(
        found.contains("points: 30") && found.contains("points: 29"),
        "{found}"
    );
}

#[test]
fn a_purchase_that_earns_nothing_is_found() {
    let mut events = history(&[bought()]);
    let other = history(&[announce(&[Recorded], 99, &[])]);
    events[0].answer = other[0].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_purchase_that_earns_again_is_found_by_the_next_read() {
    let mut events = history(&[bought(), again(), balance()]);
    check(nobody(), &events).unwrap();
    let twice = history(&[bought(), earn(29), balance()]);
    events[2].answer = twice[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("available: 58"), "{found}");
}

#[test]
fn a_purchase_told_again_touches_nothing() {
    let events = with_hold(again());
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.idle), (3, 1), "{compared:#?}");
}

#[test]
fn a_purchase_told_again_that_lets_a_hold_go_is_found() {
    let mut events = with_hold(again());
    // As if something had been posted.
    let touched = with_hold(redeem(1));
    let Ok(Response::Transactions(page)) = &touched[5].answer else {
        panic!("{:#?}", touched[5]);
    };
    let mut page = page.clone();
    page.transactions
        .retain(|posting| posting.kind() != pb::TransactionKind::Redeem);
    assert_eq!(page.transactions.len(), 4);
    events[5].answer = Ok(Response::Transactions(page));
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("hold timed out"), "{found}");
}

#[test]
fn a_void_of_what_was_taken_back_that_takes_more_back_is_found() {
    let reverse = Request::Reverse(pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 1.1".to_owned(),
        ..Default::default()
    });
    let mut events = history(&[bought(), reverse, voided()]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.idle), (2, 1), "{compared:#?}");
    let first = history(&[bought(), balance(), voided()]);
    events[2].answer = first[2].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_void_that_takes_nothing_back_is_found() {
    let mut events = history(&[bought(), voided()]);
    let nothing = history(&[bought(), again()]);
    events[1].answer = nothing[1].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_purchase_beyond_a_cap_is_found() {
    let mut events = history(&[limit(20), bought(), balance()]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.met["purchase cut"], 1);
    let without = history(&[limit(50), bought(), balance()]);
    events[1].answer = without[1].answer.clone();
    events[2].answer = without[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("no state of the limits explains"), "{found}");
}

#[test]
fn a_purchase_of_which_limits_left_nothing_never_earns() {
    let mut events = history(&[
        limit(0),
        bought(),
        limit(100),
        announce(&[Recorded], 29_99, &["posting 2.1"]),
        balance(),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.met["purchase of which nothing is left"], 1);
    let late = history(&[limit(0), balance(), limit(100), bought(), balance()]);
    events[4].answer = late[4].answer.clone();
    assert!(check(nobody(), &events).is_err());
}
