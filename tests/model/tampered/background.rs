//! Sweeps in the background.

use std::collections::BTreeSet;

use super::sweeps::{expiring, set_latest, sweep};
use super::*;
use crate::answers::stamp;
use crate::background::sweeps;

/// What expires at the third instant is written off then, and all is read.
fn written_off() -> Vec<Event> {
    let mut events = history(&[expiring(), balance(), sweep(), postings()]);
    set_latest(&mut events[3], 3);
    events
}

fn read(event: &mut Event) -> &mut Vec<pb::LedgerTransaction> {
    match &mut event.answer {
        Ok(Response::Transactions(page)) => &mut page.transactions,
        other => panic!("{other:#?}"),
    }
}

/// What was called for at these instants; the rest went on in the background.
fn unasked(events: &mut [Event], calls: &[i64]) -> usize {
    let calls: BTreeSet<_> = calls.iter().map(|at| (ALICE.to_owned(), *at)).collect();
    let found = sweeps(read(&mut events[3]), &calls);
    let number = found.len();
    for (sweep, swept, at) in found {
        events[2] = Event {
            request: Request::Sweep(sweep),
            answer: Ok(Response::Sweep(swept)),
            started: 0,
            ended: 100,
            window: Window::Between(at, at),
        };
    }
    number
}

#[test]
fn what_nobody_asked_for_was_done_in_the_background() {
    let mut events = written_off();
    assert_eq!(unasked(&mut events, &[1]), 1);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.met["swept in the background"], 1);
    // Or by a call in passing.
    assert_eq!(unasked(&mut written_off(), &[1, 3]), 0);
}

#[test]
fn what_was_done_in_the_background_and_is_not_known_of_is_found() {
    let mut events = written_off();
    events.remove(2);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_sweep_in_the_background_before_anything_is_due_is_found() {
    let mut events = written_off();
    read(&mut events[3])[0].posted_at = Some(stamp(2));
    assert_eq!(unasked(&mut events, &[1]), 1);
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("points_expired: 100"), "{found}");
}

#[test]
fn a_sweep_in_the_background_that_leaves_something_is_found() {
    let mut events = written_off();
    assert_eq!(unasked(&mut events, &[1]), 1);
    let Ok(Response::Sweep(told)) = &mut events[2].answer else {
        panic!("{:#?}", events[2]);
    };
    told.messages[0].swept[0].points_expired -= 1;
    assert!(check(nobody(), &events).is_err());
}
