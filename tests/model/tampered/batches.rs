//! Batches.

use super::*;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;

/// Earn 100, spend 101, earn another 5.
fn batch(mode: pb::BatchMode) -> Request {
    let item = |request| {
        let item = match request {
            Request::Earn(it) => Item::Earn(it),
            Request::Redeem(it) => Item::Redeem(it),
            other => unreachable!("no item: {other:?}"),
        };
        pb::BatchPostItem { item: Some(item) }
    };
    Request::Batch(pb::BatchPostRequest {
        mode: mode.into(),
        items: [earn(100), redeem(101), earn(5)].map(item).to_vec(),
        ..Default::default()
    })
}

fn answer(event: &mut Event) -> &mut pb::BatchPostResponse {
    match &mut event.answer {
        Ok(Response::Batch(answer)) => answer,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn batches_that_keep_their_mode_pass() {
    let independent = history(&[batch(pb::BatchMode::Independent), balance()]);
    let compared = check(nobody(), &independent).unwrap();
    assert_eq!((compared.changes, compared.refusals), (1, 0));
    assert_eq!(compared.reasons["INSUFFICIENT_POINTS"], 1);
    let linked = history(&[batch(pb::BatchMode::Linked), balance()]);
    let compared = check(nobody(), &linked).unwrap();
    assert_eq!((compared.changes, compared.refusals), (0, 1));
    assert_eq!(compared.reasons["LINKED_ITEM_FAILED"], 2);
}

#[test]
fn a_linked_batch_that_leaves_something_behind_is_found() {
    let mut events = history(&[batch(pb::BatchMode::Linked), balance()]);
    let independent = history(&[batch(pb::BatchMode::Independent), balance()]);
    events[1].answer = independent[1].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn another_culprit_is_found() {
    let mut events = history(&[batch(pb::BatchMode::Linked)]);
    answer(&mut events[0]).results.swap(1, 2);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn an_item_that_is_refused_without_cause_is_found() {
    let mut events = history(&[batch(pb::BatchMode::Independent), balance()]);
    let answer = answer(&mut events[0]);
    let Some(Outcome::Refusal(refusal)) = answer.results[1].outcome.clone() else {
        panic!("{answer:#?}");
    };
    answer.results[2].outcome = Some(Outcome::Refusal(refusal));
    answer.posted -= 1;
    assert!(check(nobody(), &events).is_err());
}
