use api::feedback::v1 as pb;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::fixture::{NOBODY, World, complaint, replayed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Assign,
    Start,
    Resolve,
    Reopen,
    Close,
}

pub const STEPS: [Step; 5] = [
    Step::Assign,
    Step::Start,
    Step::Resolve,
    Step::Reopen,
    Step::Close,
];

/// Takes one step; the reason is always given.
pub async fn take(
    world: &mut World,
    step: Step,
    ticket_id: &str,
    etag: &str,
) -> Result<pb::Ticket, Status> {
    let (ticket_id, etag, reason) = (ticket_id.to_owned(), etag.to_owned(), "because".to_owned());
    let request_id = String::new();
    let tickets = &mut world.tickets;
    let ticket = match step {
        Step::Assign => {
            let assignee = "ann".to_owned();
            let request = pb::AssignTicketRequest {
                request_id,
                ticket_id,
                etag,
                assignee,
                reason,
            };
            tickets.assign_ticket(request).await?.into_inner().ticket
        }
        Step::Start => {
            let request = pb::StartWorkRequest {
                request_id,
                ticket_id,
                etag,
                reason,
            };
            tickets.start_work(request).await?.into_inner().ticket
        }
        Step::Resolve => {
            let (code, text) = ("REPLACED".to_owned(), "sent a new one".to_owned());
            let resolution = Some(pb::Resolution { code, text });
            let request = pb::ResolveTicketRequest {
                request_id,
                ticket_id,
                etag,
                resolution,
                reason,
            };
            tickets.resolve_ticket(request).await?.into_inner().ticket
        }
        Step::Reopen => {
            let request = pb::ReopenTicketRequest {
                request_id,
                ticket_id,
                etag,
                reason,
            };
            tickets.reopen_ticket(request).await?.into_inner().ticket
        }
        Step::Close => {
            let request = pb::CloseTicketRequest {
                request_id,
                ticket_id,
                etag,
                reason,
            };
            tickets.close_ticket(request).await?.into_inner().ticket
        }
    };
    Ok(ticket.unwrap())
}

pub async fn follow(world: &mut World, ticket: pb::Ticket, steps: &[Step]) -> pb::Ticket {
    let mut ticket = ticket;
    for step in steps {
        world.server.clock.advance(TimeDelta::hours(1));
        ticket = take(world, *step, &ticket.ticket_id, &ticket.etag)
            .await
            .unwrap();
    }
    ticket
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_goes_from_opening_to_closing_and_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let opened = world.ticket("c1").await;
    assert_eq!(
        (opened.state(), opened.priority()),
        (pb::TicketState::New, pb::TicketPriority::Normal)
    );
    assert_eq!(opened, world.now(&opened).await);

    let resolved = follow(
        &mut world,
        opened.clone(),
        &[Step::Assign, Step::Start, Step::Resolve],
    )
    .await;
    assert_eq!(resolved.state(), pb::TicketState::Resolved);
    assert_eq!(resolved.assignee, "ann");
    assert_eq!(resolved.resolution.as_ref().unwrap().code, "REPLACED");
    assert_eq!(resolved.resolved_at, Some(world.in_days(0)));
    assert_eq!(resolved.opened_at, opened.opened_at);

    let closed = follow(&mut world, resolved, &[Step::Close]).await;
    assert_eq!(
        (closed.state(), closed.closed_at),
        (pb::TicketState::Closed, Some(world.in_days(0)))
    );
    let reopened = follow(&mut world, closed, &[Step::Reopen]).await;
    assert_eq!(
        (reopened.state(), reopened.reopen_count),
        (pb::TicketState::InProgress, 1)
    );
    assert_eq!((&reopened.resolution, reopened.closed_at), (&None, None));
    assert_eq!(reopened, world.now(&reopened).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_opened_for_known_customers_only(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1", "gone"]).await;
    let kept = world.ticket("gone").await;
    world.delete("gone").await;
    for unknown in ["stranger", "gone"] {
        let refused = world.tickets.open_ticket(complaint(unknown)).await;
        let details = assert_refused(refused, Code::NotFound, "CUSTOMER_NOT_FOUND");
        assert_eq!(
            details.error_info().unwrap().metadata["customer_id"],
            unknown
        );
    }
    // What is under way for a deleted customer can be brought to its end.
    follow(
        &mut world,
        kept,
        &[Step::Assign, Step::Start, Step::Resolve, Step::Close],
    )
    .await;

    let bad = pb::OpenTicketRequest {
        customer_id: "a b".to_owned(),
        priority: 9,
        description: "x".repeat(10_001),
        ..pb::OpenTicketRequest::default()
    };
    let status = world.tickets.open_ticket(bad).await.unwrap_err();
    let fields = ["customer_id", "type", "priority", "subject", "description"];
    assert_eq!(violations(&status), fields);

    let request = pb::OpenTicketRequest {
        request_id: "r1".to_owned(),
        ..complaint("late")
    };
    let early = world.tickets.open_ticket(request.clone()).await;
    assert_refused(early, Code::NotFound, "CUSTOMER_NOT_FOUND");
    world.create("late").await;
    world.server.caught_up(&world.customers).await;
    world
        .tickets
        .open_ticket(request)
        .await
        .expect("a retry finds who has been heard of meanwhile");

    world.create("new").await;
    let request = pb::OpenTicketRequest {
        at_least: world.customers.token("new", 1),
        ..complaint("new")
    };
    world
        .tickets
        .open_ticket(request)
        .await
        .expect("it waits until it has heard of the customer");

    let list = world
        .tickets
        .list_tickets(pb::ListTicketsRequest::default())
        .await
        .unwrap();
    assert_eq!(
        list.into_inner().tickets.len(),
        3,
        "a refusal changes nothing"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn repeated_requests_have_one_effect(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let request = pb::OpenTicketRequest {
        request_id: "open".to_owned(),
        ..complaint("c1")
    };
    let first = world.tickets.open_ticket(request.clone()).await.unwrap();
    let again = world.tickets.open_ticket(request.clone()).await.unwrap();
    assert!(!replayed(&first) && replayed(&again));
    assert_eq!(first.get_ref(), again.get_ref());
    let other = pb::OpenTicketRequest {
        subject: "another".to_owned(),
        ..request
    };
    let other = world.tickets.open_ticket(other).await;
    assert_refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED");

    let ticket = first.into_inner().ticket.unwrap();
    let close = pb::CloseTicketRequest {
        request_id: "close".to_owned(),
        ticket_id: ticket.ticket_id.clone(),
        ..pb::CloseTicketRequest::default()
    };
    let early = world.tickets.close_ticket(close.clone()).await;
    assert_refused(early, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    follow(
        &mut world,
        ticket.clone(),
        &[Step::Assign, Step::Start, Step::Resolve],
    )
    .await;
    let retried = world.tickets.close_ticket(close).await;
    assert_refused(retried, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    assert_eq!(world.now(&ticket).await.state(), pb::TicketState::Resolved);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_and_unknown_tickets_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let opened = world.ticket("c1").await;
    let assigned = follow(&mut world, opened.clone(), &[Step::Assign]).await;
    for step in STEPS {
        let stale = take(&mut world, step, &opened.ticket_id, &opened.etag).await;
        assert_refused(stale, Code::Aborted, "ETAG_MISMATCH");
        let unknown = take(&mut world, step, NOBODY, "").await;
        assert_refused(unknown, Code::NotFound, "TICKET_NOT_FOUND");
        let malformed = take(&mut world, step, "T-1", "").await.unwrap_err();
        assert_eq!(violations(&malformed), ["ticket_id"]);
    }
    assert_eq!(world.now(&opened).await, assigned);
    assert_eq!(world.history(&opened).await.len(), 2);

    let get = pb::GetTicketRequest {
        ticket_id: NOBODY.to_owned(),
        ..Default::default()
    };
    assert_refused(
        world.tickets.get_ticket(get).await,
        Code::NotFound,
        "TICKET_NOT_FOUND",
    );
    let history = pb::ListTicketHistoryRequest {
        ticket_id: NOBODY.to_owned(),
        ..Default::default()
    };
    let history = world.tickets.list_ticket_history(history).await;
    assert_refused(history, Code::NotFound, "TICKET_NOT_FOUND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn steps_name_every_field_at_fault(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let ticket_id = world.ticket("c1").await.ticket_id;
    let assign = pb::AssignTicketRequest {
        request_id: "a b".to_owned(),
        ticket_id: ticket_id.clone(),
        reason: "x".repeat(1001),
        ..Default::default()
    };
    let status = world.tickets.assign_ticket(assign).await.unwrap_err();
    assert_eq!(violations(&status), ["assignee", "request_id", "reason"]);
    let resolution = Some(pb::Resolution {
        code: "lower".to_owned(),
        text: " ".to_owned(),
    });
    let resolve = pb::ResolveTicketRequest {
        ticket_id: ticket_id.clone(),
        resolution,
        ..Default::default()
    };
    let status = world.tickets.resolve_ticket(resolve).await.unwrap_err();
    assert_eq!(violations(&status), ["resolution.code", "resolution.text"]);
    let reopen = pb::ReopenTicketRequest {
        ticket_id,
        ..Default::default()
    };
    let status = world.tickets.reopen_ticket(reopen).await.unwrap_err();
    assert_eq!(violations(&status), ["reason"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_concurrent_steps_with_one_etag_one_is_taken(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let ticket = world.ticket("c1").await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..16 {
        let mut tickets = world.tickets.clone();
        let request = pb::AssignTicketRequest {
            ticket_id: ticket.ticket_id.clone(),
            etag: ticket.etag.clone(),
            assignee: format!("agent-{number}"),
            ..Default::default()
        };
        calls.spawn(async move { tickets.assign_ticket(request).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    for refused in refused {
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH");
    }
    assert_eq!(world.history(&ticket).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_listed_newest_first_by_customer_state_assignee_and_type(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1", "c2"]).await;
    let mut opened = Vec::new();
    for number in 0..6 {
        let kind = [pb::TicketType::Complaint, pb::TicketType::Consultation][number % 2];
        let customer = ["c1", "c2"][number / 3];
        let request = pb::OpenTicketRequest {
            r#type: kind.into(),
            ..complaint(customer)
        };
        let answer = world
            .tickets
            .open_ticket(request)
            .await
            .unwrap()
            .into_inner();
        opened.push(answer.ticket.unwrap());
        world.server.clock.advance(TimeDelta::minutes(1));
    }
    opened[0] = follow(&mut world, opened[0].clone(), &[Step::Assign]).await;
    opened[4] = follow(&mut world, opened[4].clone(), &[Step::Assign, Step::Start]).await;
    opened.reverse();

    let mut page = pb::ListTicketsRequest {
        page_size: 4,
        ..Default::default()
    };
    let first = world
        .tickets
        .list_tickets(page.clone())
        .await
        .unwrap()
        .into_inner();
    page.page_token = first.next_page_token;
    let second = world
        .tickets
        .list_tickets(page.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!([first.tickets, second.tickets].concat(), opened);
    assert_eq!(second.next_page_token, "");

    let all = pb::ListTicketsRequest::default();
    let of = |customer: &str| pb::ListTicketsRequest {
        customer_id: customer.to_owned(),
        ..all.clone()
    };
    let ann = pb::ListTicketsRequest {
        assignee: "ann".to_owned(),
        ..all.clone()
    };
    let complaints = pb::ListTicketsRequest {
        r#type: pb::TicketType::Complaint.into(),
        ..all.clone()
    };
    let state = pb::TicketState::Assigned.into();
    for (request, expected) in [
        (of("c1"), &[3, 4, 5][..]),
        (of("nobody"), &[]),
        (ann.clone(), &[1, 5]),
        (complaints, &[1, 3, 5]),
        (
            pb::ListTicketsRequest {
                state,
                ..all.clone()
            },
            &[5],
        ),
        (
            pb::ListTicketsRequest {
                customer_id: "c2".to_owned(),
                ..ann
            },
            &[1],
        ),
    ] {
        let listed = world
            .tickets
            .list_tickets(request.clone())
            .await
            .unwrap()
            .into_inner();
        let expected: Vec<_> = expected
            .iter()
            .map(|at: &usize| opened[*at].clone())
            .collect();
        assert_eq!(listed.tickets, expected, "{request:?}");
    }

    page.assignee = "ann".to_owned();
    let status = world.tickets.list_tickets(page).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let bad = pb::ListTicketsRequest {
        state: 99,
        r#type: 99,
        page_size: -1,
        ..of("a b")
    };
    let status = world.tickets.list_tickets(bad).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["customer_id", "state", "type", "page_size"]
    );
}
