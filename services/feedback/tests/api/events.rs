use api::feed::v1 as feed;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feedback::v1 as pb;
use prost::{Message, Name};
use rstest::rstest;
use testkit::{Backend, until};

use crate::fixture::{World, submission};
use crate::tickets::{Step, follow};

async fn read(world: &World, expected: usize) -> Vec<feed::Event> {
    let client = ChangeFeedServiceClient::new(world.server.channel());
    let request = feed::ReadChangesRequest {
        source: "feedback".to_owned(),
        ..feed::ReadChangesRequest::default()
    };
    let read = async || {
        let page = client.clone().read_changes(request.clone()).await.unwrap();
        page.into_inner().events
    };
    // On PostgreSQL the sequencer publishes a moment after the commit.
    until("all events are published", async || {
        read().await.len() >= expected
    })
    .await;
    read().await
}

#[track_caller]
fn unpack<T: Message + Name + Default>(event: &feed::Event) -> T {
    event.payload.as_ref().unwrap().to_msg().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_customer_is_one_event_without_free_text(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::with(backend, &["c1"]).await;
    let survey = world.survey(pb::SurveyType::Csat).await;
    let invited = world.invited(&survey, "c1").await;
    let revoked = world
        .invited(&survey, "c1")
        .await
        .invitation
        .unwrap()
        .invitation_id;
    let revoke = pb::RevokeInvitationRequest {
        request_id: String::new(),
        invitation_id: revoked.clone(),
    };
    world.surveys.revoke_invitation(revoke).await.unwrap();
    let comment = "my secret opinion".to_owned();
    let answer = pb::SubmitResponseRequest {
        comment,
        ..submission(&invited.token, 4)
    };
    let answer = world
        .surveys
        .submit_response(answer)
        .await
        .unwrap()
        .into_inner();
    // Refusals leave no event and no gap, stored or not.
    for request_id in ["", "again"] {
        let request_id = request_id.to_owned();
        let again = pb::SubmitResponseRequest {
            request_id,
            ..submission(&invited.token, 5)
        };
        world.surveys.submit_response(again).await.unwrap_err();
    }
    let ticket = world.ticket("c1").await;
    let ticket = follow(
        &mut world,
        ticket,
        &[Step::Assign, Step::Start, Step::Resolve],
    )
    .await;
    let events = read(&world, 8).await;
    let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
    for event in &events {
        assert_eq!(event.customer_id, "c1");
        let text = String::from_utf8_lossy(&event.payload.as_ref().unwrap().value).into_owned();
        for secret in [
            "secret opinion",
            "broken",
            "two halves",
            "sent a new one",
            "because",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let created: pb::InvitationCreated = unpack(&events[0]);
    assert_eq!(
        created.invitation_id,
        invited.invitation.unwrap().invitation_id
    );
    assert_eq!(
        unpack::<pb::InvitationRevoked>(&events[2]).invitation_id,
        revoked
    );
    let submitted: pb::ResponseSubmitted = unpack(&events[3]);
    assert_eq!(
        (submitted.score, submitted.survey_type()),
        (4, pb::SurveyType::Csat)
    );
    assert_eq!(submitted.response_id, answer.response.unwrap().response_id);
    let opened: pb::TicketOpened = unpack(&events[4]);
    assert_eq!(opened.ticket.unwrap().state(), pb::TicketState::New);
    let changed: pb::TicketChanged = unpack(&events[7]);
    assert_eq!(changed.action(), pb::TicketAction::Resolved);
    assert_eq!(changed.from_state(), pb::TicketState::InProgress);
    let facts = changed.ticket.unwrap();
    assert_eq!(
        (facts.ticket_id, facts.resolution_code.as_str()),
        (ticket.ticket_id, "REPLACED")
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn known_customers_survive_a_restart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let world = World::with(backend, &["c1"]).await;
    let server = world.server.restart().await;
    let mut tickets = pb::ticket_service_client::TicketServiceClient::new(server.channel());
    tickets
        .open_ticket(crate::fixture::complaint("c1"))
        .await
        .unwrap();
}
