//! The customer service: one record of each customer, and what the customer bought and did.
//!
//! Life of a request: `grpc` parses it and collects every violation; a use case (`profiles`, `merges`,
//! `records`, `voids`, `imports`, `timeline`, `summary`) reads through `store`, asks `domain` for the decision, writes, and
//! tells the others through `events` in the same transaction.
//!
//! What holds:
//! - A customer's row is locked before anything about the customer is decided, and several are locked in the
//!   order of their ids. Its `revision` grows by one with every change, each change emits one event with
//!   that revision, and `CustomerCreated` comes first: the others see no gap and no disorder.
//! - A purchase or interaction is recorded once for its source and external id, whatever is sent again.
//! - A deleted customer's id is retired: nobody inherits what other services keep under it.
//! - A merge leaves both records as they are and only says who stands for whom: undone, all is as it was. What is sent
//!   with the id of a merged customer is recorded under that id.
//! - Personal data lies in one table and one type (`domain::Personal`) and never travels in events. It is sealed, as are the
//!   subjects of interactions and the answers kept for repeated calls: each customer has a data key (`store::data_keys`),
//!   which goes with the customer. `sealing` brings what is older up to date.
//! - Deleting a customer opens nothing: it works without the keys.
//!
//! Invariant: this crate follows no other service; the others follow it.

mod config;
mod domain;
mod error;
mod events;
mod grpc;
mod imports;
mod merges;
mod present;
mod profiles;
mod records;
mod sealing;
mod store;
mod summary;
mod timeline;
mod voids;

use std::path::Path;

use api::customer::v1::customer_profile_service_server::CustomerProfileServiceServer;
use common::db::Migrations;
use common::platform::Platform;
use common::sealing::Keys;
use common::service::{Assembly, Service};

pub use config::{Config, Sealing};

/// What every use case stands on.
#[derive(Clone)]
struct State {
    platform: Platform,
    keys: Keys,
}

/// The service, as `common` assembles it.
#[derive(Debug, Clone, Copy)]
pub struct CustomerProfile;

impl Service for CustomerProfile {
    const NAME: &'static str = "customer";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations {
            postgres: sqlx::migrate!("migrations/postgres"),
            sqlite: sqlx::migrate!("migrations/sqlite"),
        }
    }

    fn with_secrets_in(config: &Config, folder: &Path) -> Result<Config, common::Error> {
        config.with_keys_in(folder)
    }

    fn build(
        config: &Config,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), common::Error> {
        let keys = config.keys()?;
        let state = State {
            platform: platform.clone().with_sealed_answers(keys.clone()),
            keys,
        };
        assembly.grpc(CustomerProfileServiceServer::new(grpc::Grpc::new(
            state.clone(),
            assembly.drain(),
        )));
        let every = config.sealing_every;
        assembly.task(move |stop| sealing::run(state, every, stop));
        Ok(())
    }
}
