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
