//! Rows of another system's ledger.

use super::*;
use crate::answers::stamp;
use crate::operations::Import;

fn row(kind: pb::ImportKind, points: i64, at: i64) -> pb::ImportRow {
    pb::ImportRow {
        customer_id: ALICE.to_owned(),
        external_id: format!("{kind:?} {points}"),
        kind: kind.into(),
        points,
        occurred_at: Some(stamp(at)),
        ..Default::default()
    }
}

fn import(rows: &[pb::ImportRow], is_new: bool) -> Request {
    let new = rows.iter().filter(|_| is_new);
    let new = new.map(|row| row.external_id.clone()).collect();
    let header = pb::ImportHeader {
        source_system: "the old one".to_owned(),
        ..Default::default()
    };
    let numbered = (1..)
        .zip(rows)
        .map(|(row, it)| pb::ImportRow { row, ..it.clone() });
    Request::Import(Import {
        chunk: pb::ImportTransactionsRequest {
            header: Some(header),
            rows: numbered.collect(),
        },
        new,
    })
}

fn outcome(event: &mut Event) -> &mut pb::ImportRowOutcome {
    match &mut event.answer {
        Ok(Response::Import(it)) => &mut it.answer.outcomes[0],
        other => panic!("{other:#?}"),
    }
}

const EARN: pb::ImportKind = pb::ImportKind::Earn;
const REDEEM: pb::ImportKind = pb::ImportKind::Redeem;

#[test]
fn rows_that_are_taken_over_once_pass() {
    let events = history(&[
        import(&[row(EARN, 100, 1)], true),
        redeem(70),
        import(&[row(REDEEM, 40, 1), row(REDEEM, 30, 1)], true),
        import(&[row(EARN, 100, 1)], false),
        balance(),
        postings(),
    ]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.changes, 3, "{compared:#?}");
    assert_eq!(compared.reasons["INSUFFICIENT_POINTS"], 1);
}

#[test]
fn a_row_that_takes_what_was_needed_since_is_found() {
    let requests = |last| {
        [
            import(&[row(EARN, 100, 1)], true),
            last,
            import(&[row(REDEEM, 40, 1)], true),
        ]
    };
    let mut events = history(&requests(redeem(70)));
    let alone = history(&requests(balance()));
    events[2].answer = alone[2].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("INSUFFICIENT_POINTS"), "{found}");
}

#[test]
fn a_row_that_is_posted_twice_is_found() {
    let requests = [
        import(&[row(EARN, 100, 1)], true),
        import(&[row(EARN, 100, 1)], false),
        balance(),
    ];
    let mut events = history(&requests);
    check(nobody(), &events).unwrap();
    let twice = history(&[earn(100), earn(100), balance()]);
    events[2].answer = twice[2].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_row_that_is_said_to_be_new_again_is_found() {
    let again = import(&[row(EARN, 100, 1)], false);
    let mut events = history(&[import(&[row(EARN, 100, 1)], true), again]);
    outcome(&mut events[1]).status = pb::ImportRowStatus::Imported.into();
    assert!(check(nobody(), &events).is_err());
}

/// Rows of both.
fn of_both(points: i64) -> Request {
    let bobs = pb::ImportRow {
        customer_id: BOB.to_owned(),
        external_id: format!("bob's {points}"),
        ..row(EARN, points, 1)
    };
    import(&[row(EARN, points, 1), bobs], true)
}

#[test]
fn a_chunk_that_is_posted_in_halves_is_found() {
    let mut events = history(&[of_both(100), of_both(50)]);
    check(nobody(), &events).unwrap();
    // Bob's row of the first comes after that of the second.
    let Ok(Response::Import(told)) = &mut events[0].answer else {
        panic!("{:#?}", events[0]);
    };
    told.postings[1].as_mut().unwrap().revision = 9;
    events[0].ended = events[1].ended + 1;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("each of these came before"), "{found}");
}

#[test]
fn a_chunk_of_which_half_is_seen_is_found() {
    let of_bob = || {
        Request::Balance(pb::GetBalanceRequest {
            customer_id: BOB.to_owned(),
            ..Default::default()
        })
    };
    let mut events = history(&[of_bob(), of_both(50), balance()]);
    check(nobody(), &events).unwrap();
    // While it is under way, first Alice's row is there, and then Bob's is not.
    (events[1].started, events[1].ended) = (0, 20);
    (events[2].started, events[2].ended) = (2, 3);
    (events[0].started, events[0].ended) = (4, 5);
    check(nobody(), &events[..2]).unwrap();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("available: 50"), "{found}");
    // The other way round it had not come yet.
    (events[0].started, events[0].ended) = (1, 1);
    check(nobody(), &events).unwrap();
}

#[test]
fn debt_that_is_refunded_is_found() {
    let forced = |points: i64| {
        let row = pb::ImportRow {
            force: true,
            ..row(REDEEM, points, 1)
        };
        import(&[row], true)
    };
    let refund = |of: &str| {
        Request::Reverse(pb::ReverseTransactionRequest {
            customer_id: ALICE.to_owned(),
            transaction_id: of.to_owned(),
            ..Default::default()
        })
    };
    let requests = [
        earn(100),
        forced(130),
        refund("posting 2.1"),
        redeem(70),
        forced(40),
        refund("posting 5.1"),
        balance(),
    ];
    let mut events = history(&requests);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.reasons["NOTHING_TO_REVERSE"], 1);
    let Ok(Response::Reverse(told)) = &mut events[2].answer else {
        panic!("{:#?}", events[2]);
    };
    let restored = told.restored[0].points;
    assert_eq!(
        (restored, told.balance.as_ref().unwrap().available),
        (100, 70)
    );
    told.restored[0].points = 130;
    assert!(check(nobody(), &events).is_err());
}
