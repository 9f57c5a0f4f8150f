use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy {
    reopen_window: TimeDelta::days(14),
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn act(step: Step, reason: &str, seconds: i64) -> Act {
    Act {
        step,
        actor: "agent".to_owned(),
        reason: reason.to_owned(),
        at: at(seconds),
    }
}

fn steps() -> [Step; 6] {
    let resolution = Resolution {
        code: "FIXED".to_owned(),
        text: "replaced".to_owned(),
    };
    [
        Step::Open,
        Step::Assign {
            assignee: "ann".to_owned(),
        },
        Step::Start,
        Step::Resolve(resolution),
        Step::Reopen,
        Step::Close,
    ]
}

/// Takes the steps one after the other; each must be allowed.
fn history(taken: &[usize]) -> Vec<Event> {
    let mut events = vec![open("caller".to_owned(), at(0))];
    for (second, step) in (1_i64..).zip(taken) {
        let progress = fold(&events).unwrap();
        events.push(
            plan(
                &progress,
                act(steps()[*step].clone(), "why", second),
                POLICY,
            )
            .unwrap(),
        );
    }
    events
}

#[test]
fn every_name_is_known() {
    for step in steps() {
        let action = step.action();
        assert_eq!(Action::named(action.name()), Some(action));
        assert_eq!(
            State::named(action.leads_to().name()),
            Some(action.leads_to())
        );
    }
    for kind in [
        TicketType::Complaint,
        TicketType::Suggestion,
        TicketType::Consultation,
    ] {
        assert_eq!(TicketType::named(kind.name()), Some(kind));
    }
    for priority in [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Urgent,
    ] {
        assert_eq!(Priority::named(priority.name()), Some(priority));
    }
}

#[test]
fn the_whole_table_of_transitions() {
    // Rows: the state reached by the steps given. Columns: open, assign, start, resolve, reopen,
    // close.
    let table: [(&[usize], State, [bool; 6]); 5] = [
        (&[], State::New, [false, true, false, false, false, false]),
        (
            &[1],
            State::Assigned,
            [false, true, true, false, false, false],
        ),
        (
            &[1, 2],
            State::InProgress,
            [false, true, false, true, false, false],
        ),
        (
            &[1, 2, 3],
            State::Resolved,
            [false, false, false, false, true, true],
        ),
        (
            &[1, 2, 3, 5],
            State::Closed,
            [false, false, false, false, true, false],
        ),
    ];
    for (taken, state, legal) in table {
        let progress = fold(&history(taken)).unwrap();
        assert_eq!(progress.state, state);
        for (step, legal) in steps().into_iter().zip(legal) {
            let action = step.action();
            let planned = plan(&progress, act(step, "why", 100), POLICY);
            match planned {
                Ok(event) => assert!(legal, "{state:?} {:?}", event.act.step),
                Err(refused) => {
                    assert!(!legal, "{state:?} {action:?}");
                    assert_eq!(
                        refused,
                        Refused::IllegalTransition {
                            from: state,
                            action
                        }
                    );
                }
            }
        }
    }
}

#[test]
fn a_transfer_needs_a_reason_and_a_first_assignment_does_not() {
    let assign = |reason| act(steps()[1].clone(), reason, 50);
    assert!(plan(&fold(&history(&[])).unwrap(), assign(""), POLICY).is_ok());
    for taken in [&[1][..], &[1, 2]] {
        let progress = fold(&history(taken)).unwrap();
        assert_eq!(
            plan(&progress, assign(""), POLICY),
            Err(Refused::ReasonRequired)
        );
        assert!(plan(&progress, assign("on leave"), POLICY).is_ok());
    }
}

#[test]
fn a_closed_ticket_reopens_only_within_its_window() {
    let closed = fold(&history(&[1, 2, 3, 5])).unwrap();
    let closed_at = closed.closed_at.unwrap();
    let reopen = |at| {
        plan(
            &closed,
            Act {
                at,
                ..act(Step::Reopen, "again", 0)
            },
            POLICY,
        )
    };
    let last = closed_at + POLICY.reopen_window - TimeDelta::microseconds(1);
    let reopened = closed.clone().after(&reopen(last).unwrap());
    assert_eq!(
        (reopened.state, reopened.reopen_count),
        (State::InProgress, 1)
    );
    assert_eq!(
        (
            reopened.resolution,
            reopened.resolved_at,
            reopened.closed_at
        ),
        (None, None, None)
    );
    assert_eq!(
        reopen(closed_at + POLICY.reopen_window),
        Err(Refused::ReopenWindowPassed { closed_at })
    );
}

proptest! {
    #[test]
    fn a_ticket_is_what_its_history_adds_up_to(
        attempts in prop::collection::vec((0..6_usize, any::<bool>(), 0..3_000_000_i64), 0..60),
    ) {
        let mut events = vec![open("caller".to_owned(), at(0))];
        let mut live = begin(&events[0]);
        let mut now = 0;
        for (step, with_reason, passed) in attempts {
            now += passed;
            let reason = if with_reason { "why" } else { "" };
            let before = live.clone();
            if let Ok(event) = plan(&live, act(steps()[step].clone(), reason, now), POLICY) {
                prop_assert_eq!(event.version, before.version + 1);
                prop_assert_eq!(event.from, Some(before.state));
                live = live.after(&event);
                events.push(event);
            }
            prop_assert_eq!(fold(&events), Some(live.clone()));
            prop_assert_eq!(live.closed_at.is_some(), live.state == State::Closed);
            prop_assert_eq!(live.resolution.is_some(), live.resolved_at.is_some());
        }
        let reopened = events.iter().filter(|event| event.act.step == Step::Reopen).count();
        prop_assert_eq!(usize::try_from(live.reopen_count), Ok(reopened));
    }
}
