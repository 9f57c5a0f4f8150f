//! Statements.

use super::*;
use crate::answers::stamp;
use crate::statements::digest;

fn statement() -> Request {
    Request::Statement(pb::GetStatementRequest {
        customer_id: ALICE.to_owned(),
        from: Some(stamp(2)),
        to: Some(stamp(100)),
        ..Default::default()
    })
}

/// With the digest that a service without fault tells.
fn told() -> Vec<Event> {
    let mut events = history(&[earn(100), redeem(30), hold(20), statement()]);
    digested(&mut events[3]);
    events
}

fn digested(event: &mut Event) {
    let (Request::Statement(asked), Ok(Response::Statement(told))) =
        (&event.request, &mut event.answer)
    else {
        panic!("{event:#?}");
    };
    told.digest = digest(asked, "default", told, true);
}

fn answer(event: &mut Event) -> &mut pb::GetStatementResponse {
    match &mut event.answer {
        Ok(Response::Statement(told)) => told,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_right_statement_passes() {
    let mut events = told();
    let statement = answer(&mut events[3]);
    let (opening, closing) = (statement.opening.unwrap(), statement.closing.unwrap());
    assert_eq!(
        (opening.points, closing.points, closing.held),
        (100, 70, 20)
    );
    assert_eq!(statement.movement_count, 2);
    check(nobody(), &events).unwrap();
}

#[test]
fn a_statement_without_a_movement_is_found() {
    let mut events = told();
    let statement = answer(&mut events[3]);
    statement.movements.pop();
    statement.movement_count -= 1;
    digested(&mut events[3]);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_digest_of_something_else_is_found() {
    let mut events = told();
    answer(&mut events[3]).digest[0] ^= 1;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("the digest is of something else"), "{found}");
}
