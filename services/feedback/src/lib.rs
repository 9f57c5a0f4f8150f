//! Feedback: surveys with their invitations, responses and metrics, and tickets with their history.
//!
//! Life of a request: [`grpc`] parses it and begins a mutation; a use case (`surveys`,
//! `invitations`, `responses`, `tickets`) locks the customer through [`store`], lets [`domain`]
//! decide, writes, and emits what `events` makes of it in the same transaction. `projections`
//! follows the customer service's feed, so that unknown customers are refused.
//!
//! Invariants:
//! - An invitation has at most one response: the key of `survey_response` is the invitation's.
//! - A ticket is `domain::ticket::fold` of its history, and the history only grows: triggers refuse
//!   the rest.
//! - Each change of a customer's feedback raises that customer's revision by one and emits one
//!   event.
//! - A token's plain text is stored nowhere, not even in the answers kept for repeated requests.
//! - Free text never enters the feed.

pub mod config;
pub mod domain;
pub mod error;
mod events;
pub mod grpc;
mod invitations;
mod projections;
mod responses;
pub mod store;
mod surveys;
mod tickets;

use api::feedback::v1::survey_service_server::SurveyServiceServer;
use api::feedback::v1::ticket_service_server::TicketServiceServer;
use common::db::Migrations;
use common::platform::Platform;
use common::service::{Assembly, Service};

pub use config::Config;

/// The service as the server kit runs it.
#[derive(Debug)]
pub struct Feedback;

impl Service for Feedback {
    const NAME: &'static str = "feedback";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations {
            postgres: sqlx::migrate!("migrations/postgres"),
            sqlite: sqlx::migrate!("migrations/sqlite"),
        }
    }

    fn build(
        config: &Config,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), common::Error> {
        assembly.grpc(SurveyServiceServer::new(grpc::Surveys::new(
            platform.clone(),
        )));
        let tickets = grpc::Tickets::new(platform.clone(), config.ticket_policy());
        assembly.grpc(TicketServiceServer::new(tickets));
        assembly.consume(platform, "customer", projections::KnownCustomers)
    }
}
