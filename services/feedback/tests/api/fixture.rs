//! A running feedback service with the customers a test wants, and the calls that most tests make.

use api::customer::v1::{CustomerCreated, CustomerDeleted, CustomerFacts};
use api::feedback::v1 as pb;
use api::feedback::v1::invitation_outcome::Outcome;
use api::feedback::v1::survey_service_client::SurveyServiceClient;
use api::feedback::v1::ticket_service_client::TicketServiceClient;
use chrono::TimeDelta;
use feedback::Feedback;
use testkit::{Backend, FeedSource, TestServer};
use tonic::transport::Channel;
use tonic::{Response, Status};

/// A UUID that names nothing.
pub const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

pub struct World {
    pub customers: FeedSource,
    pub server: TestServer<Feedback>,
    pub surveys: SurveyServiceClient<Channel>,
    pub tickets: TicketServiceClient<Channel>,
}

impl World {
    /// The service knows these customers already.
    pub async fn with(backend: Backend, customers: &[&str]) -> Self {
        let feed = FeedSource::start("customer", backend).await;
        for customer in customers {
            create(&feed, customer).await;
        }
        let server = TestServer::<Feedback>::start_with(backend, &[&feed]).await;
        server.caught_up(&feed).await;
        let surveys = SurveyServiceClient::new(server.channel());
        let tickets = TicketServiceClient::new(server.channel());
        Self {
            customers: feed,
            server,
            surveys,
            tickets,
        }
    }

    pub async fn create(&self, customer: &str) {
        create(&self.customers, customer).await;
    }

    pub async fn delete(&self, customer: &str) {
        let event = CustomerDeleted {
            customer_id: customer.to_owned(),
        };
        self.customers.emit(customer, 2, &event).await;
        self.server.caught_up(&self.customers).await;
    }

    /// An instant so many days from now on the server's clock.
    pub fn in_days(&self, days: i64) -> prost_types::Timestamp {
        (self.server.platform.now() + TimeDelta::days(days)).into()
    }

    pub async fn survey(&mut self, survey_type: pb::SurveyType) -> pb::Survey {
        let request = pb::CreateSurveyRequest {
            r#type: survey_type.into(),
            title: "after purchase".to_owned(),
            question: "how likely are you to recommend us?".to_owned(),
            ..pb::CreateSurveyRequest::default()
        };
        self.surveys
            .create_survey(request)
            .await
            .unwrap()
            .into_inner()
            .survey
            .unwrap()
    }

    /// An invitation by e-mail that expires in a week.
    pub fn invite(&self, survey: &pb::Survey, customers: &[&str]) -> pb::CreateInvitationsRequest {
        pb::CreateInvitationsRequest {
            survey_id: survey.survey_id.clone(),
            customer_ids: customers.iter().map(ToString::to_string).collect(),
            channel: pb::InvitationChannel::Email.into(),
            expires_at: Some(self.in_days(7)),
            ..pb::CreateInvitationsRequest::default()
        }
    }

    pub async fn invited(&mut self, survey: &pb::Survey, customer: &str) -> pb::IssuedInvitation {
        let request = self.invite(survey, &[customer]);
        let answer = self
            .surveys
            .create_invitations(request)
            .await
            .unwrap()
            .into_inner();
        issued(&answer.outcomes[0]).clone()
    }

    pub async fn submit(
        &mut self,
        token: &str,
        score: i32,
    ) -> Result<Response<pb::SubmitResponseResponse>, Status> {
        self.surveys.submit_response(submission(token, score)).await
    }

    pub async fn invitation(&mut self, id: &str) -> pb::Invitation {
        let request = pb::GetInvitationRequest {
            invitation_id: id.to_owned(),
            ..pb::GetInvitationRequest::default()
        };
        self.surveys
            .get_invitation(request)
            .await
            .unwrap()
            .into_inner()
            .invitation
            .unwrap()
    }

    pub async fn responses(&mut self, survey: &pb::Survey) -> Vec<pb::SurveyResponse> {
        let request = pb::ListResponsesRequest {
            survey_id: survey.survey_id.clone(),
            ..pb::ListResponsesRequest::default()
        };
        self.surveys
            .list_responses(request)
            .await
            .unwrap()
            .into_inner()
            .responses
    }

    pub async fn ticket(&mut self, customer: &str) -> pb::Ticket {
        let answer = self.tickets.open_ticket(complaint(customer)).await.unwrap();
        answer.into_inner().ticket.unwrap()
    }

    /// The ticket as it is now.
    pub async fn now(&mut self, ticket: &pb::Ticket) -> pb::Ticket {
        let request = pb::GetTicketRequest {
            ticket_id: ticket.ticket_id.clone(),
            ..pb::GetTicketRequest::default()
        };
        self.tickets
            .get_ticket(request)
            .await
            .unwrap()
            .into_inner()
            .ticket
            .unwrap()
    }

    pub async fn history(&mut self, ticket: &pb::Ticket) -> Vec<pb::TicketHistoryEntry> {
        let request = pb::ListTicketHistoryRequest {
            ticket_id: ticket.ticket_id.clone(),
            ..pb::ListTicketHistoryRequest::default()
        };
        self.tickets
            .list_ticket_history(request)
            .await
            .unwrap()
            .into_inner()
            .entries
    }
}

async fn create(feed: &FeedSource, customer: &str) {
    let facts = CustomerFacts {
        customer_id: customer.to_owned(),
        ..CustomerFacts::default()
    };
    feed.emit(
        customer,
        1,
        &CustomerCreated {
            customer: Some(facts),
        },
    )
    .await;
}

pub fn submission(token: &str, score: i32) -> pb::SubmitResponseRequest {
    pb::SubmitResponseRequest {
        token: token.to_owned(),
        score: Some(score),
        ..pb::SubmitResponseRequest::default()
    }
}

pub fn complaint(customer: &str) -> pb::OpenTicketRequest {
    pb::OpenTicketRequest {
        customer_id: customer.to_owned(),
        r#type: pb::TicketType::Complaint.into(),
        subject: "the disc arrived broken".to_owned(),
        description: "in two halves".to_owned(),
        ..pb::OpenTicketRequest::default()
    }
}

#[track_caller]
pub fn issued(outcome: &pb::InvitationOutcome) -> &pb::IssuedInvitation {
    match &outcome.outcome {
        Some(Outcome::Issued(issued)) => issued,
        other => panic!("{} was not invited: {other:?}", outcome.customer_id),
    }
}

/// Whether an answer was given before.
pub fn replayed<T>(answer: &Response<T>) -> bool {
    answer.metadata().contains_key(common::mutation::REPLAYED)
}
