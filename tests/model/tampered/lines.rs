//! Earnings that are taken back by lines.

use super::*;
use pb::reverse_transaction_request::Extent;

/// Two lines that weigh the same.
fn of_lines() -> Request {
    let Request::Earn(earn) = earn(100) else {
        unreachable!("an earning")
    };
    let line = |line_id: &str| pb::EarnedLine {
        line_id: line_id.to_owned(),
        weight: 10,
        quantity: 1,
    };
    Request::Earn(pb::EarnPointsRequest {
        lines: vec![line("a"), line("b")],
        ..earn
    })
}

fn return_a() -> Request {
    let line = pb::ReturnedLine {
        line_id: "a".to_owned(),
        share: None,
    };
    Request::Reverse(pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 1".to_owned(),
        extent: Some(Extent::Lines(pb::ReturnedLines { lines: vec![line] })),
        ..Default::default()
    })
}

#[test]
fn a_line_that_is_returned_once_passes() {
    let events = history(&[of_lines(), return_a(), return_a(), balance()]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.reasons["LINE_ALREADY_REVERSED"], 1);
}

#[test]
fn a_line_that_takes_back_more_than_its_share_is_found() {
    let mut events = history(&[of_lines(), return_a()]);
    let Ok(Response::Reverse(told)) = &mut events[1].answer else {
        panic!("{:#?}", events[1]);
    };
    let posting = told.transaction.as_mut().unwrap();
    assert_eq!(posting.points, -50);
    posting.points = -51;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_line_that_is_returned_twice_is_found() {
    let mut events = history(&[of_lines(), return_a(), balance()]);
    let mut again = events[1].clone();
    (again.started, again.ended) = (events[2].started, events[2].ended);
    set_revision(again.answer.as_mut().unwrap(), 3);
    again.answer.as_mut().unwrap().postings()[0].revision = 3;
    events[2] = again;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("LINE_ALREADY_REVERSED"), "{found}");
}
