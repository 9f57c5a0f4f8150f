use api::feedback::v1 as pb;
use chrono::TimeDelta;
use common::on;
use proptest::prelude::*;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::fixture::World;
use crate::tickets::{STEPS, Step, follow, take};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_kept_with_who_why_and_when(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    use pb::{TicketAction as Action, TicketState as State};
    let mut world = World::with(backend, &["c1"]).await;
    let ticket = world.ticket("c1").await;
    let steps = [
        Step::Assign,
        Step::Start,
        Step::Assign,
        Step::Start,
        Step::Resolve,
        Step::Reopen,
    ];
    let ticket = follow(&mut world, ticket, &steps).await;
    let history = world.history(&ticket).await;
    let told: Vec<_> = history
        .iter()
        .map(|e| (e.action(), e.from_state(), e.to_state()))
        .collect();
    assert_eq!(
        told,
        [
            (Action::Opened, State::Unspecified, State::New),
            (Action::Assigned, State::New, State::Assigned),
            (Action::Started, State::Assigned, State::InProgress),
            (Action::Assigned, State::InProgress, State::Assigned),
            (Action::Started, State::Assigned, State::InProgress),
            (Action::Resolved, State::InProgress, State::Resolved),
            (Action::Reopened, State::Resolved, State::InProgress),
        ]
    );
    for (version, entry) in (1..).zip(&history) {
        assert_eq!(
            (entry.version, entry.actor.as_str()),
            (version, "anonymous")
        );
        assert_eq!(entry.reason, if version == 1 { "" } else { "because" });
    }
    assert_eq!(history[3].assignee, "ann");
    assert_eq!(history[5].resolution.as_ref().unwrap().code, "REPLACED");
    assert_eq!(history[6].occurred_at, Some(world.in_days(0)));

    let mut page = pb::ListTicketHistoryRequest {
        ticket_id: ticket.ticket_id,
        page_size: 5,
        ..Default::default()
    };
    let first = world
        .tickets
        .list_ticket_history(page.clone())
        .await
        .unwrap()
        .into_inner();
    page.page_token = first.next_page_token;
    let second = world
        .tickets
        .list_ticket_history(page.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!([first.entries, second.entries].concat(), history);
    page.ticket_id = "T-1".to_owned();
    let status = world.tickets.list_ticket_history(page).await.unwrap_err();
    assert_eq!(violations(&status), ["ticket_id", "page_token"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn illegal_transitions_name_what_is_allowed_and_change_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    use Step::{Assign, Close, Reopen, Resolve, Start};
    let mut world = World::with(backend, &["c1"]).await;
    let table: [(&[Step], &str, &[Step], &str); 5] = [
        (&[], "NEW", &[Assign], "ASSIGNED:ASSIGNED"),
        (
            &[Assign],
            "ASSIGNED",
            &[Assign, Start],
            "ASSIGNED:ASSIGNED,STARTED:IN_PROGRESS",
        ),
        (
            &[Assign, Start],
            "IN_PROGRESS",
            &[Assign, Resolve],
            "ASSIGNED:ASSIGNED,RESOLVED:RESOLVED",
        ),
        (
            &[Assign, Start, Resolve],
            "RESOLVED",
            &[Close, Reopen],
            "CLOSED:CLOSED,REOPENED:IN_PROGRESS",
        ),
        (
            &[Assign, Start, Resolve, Close],
            "CLOSED",
            &[Reopen],
            "REOPENED:IN_PROGRESS",
        ),
    ];
    for (path, from, legal, allowed) in table {
        let opened = world.ticket("c1").await;
        let ticket = follow(&mut world, opened, path).await;
        for step in STEPS.into_iter().filter(|step| !legal.contains(step)) {
            let refused = take(&mut world, step, &ticket.ticket_id, &ticket.etag).await;
            let details = assert_refused(refused, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
            let metadata = details.error_info().unwrap().metadata.clone();
            let to = match step {
                Assign => "ASSIGNED",
                Start | Reopen => "IN_PROGRESS",
                Resolve => "RESOLVED",
                Close => "CLOSED",
            };
            assert_eq!(
                (metadata["from"].as_str(), metadata["to"].as_str()),
                (from, to)
            );
            assert_eq!(metadata["allowed"], allowed);
        }
        assert_eq!(world.now(&ticket).await, ticket);
        assert_eq!(world.history(&ticket).await.len(), path.len() + 1);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn transfers_need_a_reason_and_reopening_its_window(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let opened = world.ticket("c1").await;
    let assign = |assignee: &str| pb::AssignTicketRequest {
        ticket_id: opened.ticket_id.clone(),
        assignee: assignee.to_owned(),
        ..Default::default()
    };
    world
        .tickets
        .assign_ticket(assign("ann"))
        .await
        .expect("a first assignment speaks for itself");
    for reason in ["", "  "] {
        let reason = reason.to_owned();
        let silent = pb::AssignTicketRequest {
            reason,
            ..assign("bob")
        };
        let silent = world.tickets.assign_ticket(silent).await;
        assert_refused(silent, Code::FailedPrecondition, "REASON_REQUIRED");
    }
    let assigned = world.now(&opened).await;
    assert_eq!(assigned.assignee, "ann");

    let closed = follow(
        &mut world,
        assigned,
        &[Step::Start, Step::Resolve, Step::Close],
    )
    .await;
    world.server.clock.advance(TimeDelta::days(14));
    let late = take(&mut world, Step::Reopen, &closed.ticket_id, "").await;
    assert_refused(late, Code::FailedPrecondition, "REOPEN_WINDOW_PASSED");
    assert_eq!(world.now(&closed).await, closed);
    world.server.clock.advance(-TimeDelta::microseconds(1));
    take(&mut world, Step::Reopen, &closed.ticket_id, "")
        .await
        .expect("the last moment is in time");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn history_is_only_ever_added_to(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let ticket = world.ticket("c1").await;
    for change in [
        "UPDATE ticket_event SET reason = 'x'",
        "DELETE FROM ticket_event",
    ] {
        let mut tx = world.server.platform.tx().await.unwrap();
        let done = on!(&mut tx, |conn| sqlx::query(change)
            .execute(conn)
            .await
            .map(drop));
        let error = done.expect_err("history cannot be rewritten").to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    assert_eq!(world.history(&ticket).await.len(), 1);
}

/// What a ticket's history adds up to, reckoned from what callers see.
fn fold(history: &[pb::TicketHistoryEntry]) -> pb::Ticket {
    let mut ticket = pb::Ticket::default();
    for entry in history {
        ticket.state = entry.to_state;
        ticket.updated_at = entry.occurred_at;
        ticket.etag = format!("\"{}\"", entry.version);
        match entry.action() {
            pb::TicketAction::Unspecified | pb::TicketAction::Started => {}
            pb::TicketAction::Opened => ticket.opened_at = entry.occurred_at,
            pb::TicketAction::Assigned => ticket.assignee.clone_from(&entry.assignee),
            pb::TicketAction::Resolved => {
                ticket.resolution.clone_from(&entry.resolution);
                ticket.resolved_at = entry.occurred_at;
            }
            pb::TicketAction::Reopened => {
                ticket.reopen_count += 1;
                (ticket.resolution, ticket.resolved_at, ticket.closed_at) = (None, None, None);
            }
            pb::TicketAction::Closed => ticket.closed_at = entry.occurred_at,
        }
    }
    ticket
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_ticket_is_what_its_stored_history_adds_up_to(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    use proptest::strategy::ValueTree as _;
    let mut world = World::with(backend, &["c1"]).await;
    let walks = prop::collection::vec(0..STEPS.len(), 1..25);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..12 {
        let walk = walks.new_tree(&mut runner).unwrap().current();
        let ticket = world.ticket("c1").await;
        let mut taken = 1;
        for step in &walk {
            world.server.clock.advance(TimeDelta::days(3));
            let done = take(&mut world, STEPS[*step], &ticket.ticket_id, "").await;
            taken += usize::from(done.is_ok());
        }
        let (now, history) = (world.now(&ticket).await, world.history(&ticket).await);
        assert_eq!(history.len(), taken, "{walk:?}");
        let expected = pb::Ticket {
            ticket_id: ticket.ticket_id,
            customer_id: ticket.customer_id,
            r#type: ticket.r#type,
            priority: ticket.priority,
            subject: ticket.subject,
            description: ticket.description,
            ..fold(&history)
        };
        assert_eq!(now, expected, "{walk:?}");
    }
}
