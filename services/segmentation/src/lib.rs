//! Segmentation: tells customers apart by what they buy.
//!
//! It owns features (purchases by customer and UTC day), RFM runs, rating models, frozen references,
//! ratings and their history. It follows the customer service's change feed and emits `RatingChanged`
//! and `RatingRemoved`.
//!
//! Life of a purchase: the feed delivers `TransactionRecorded` → [`projections`] locks the customer,
//! keeps the transaction and adds it to its day → if the active model has a reference, [`ratings`]
//! reads the customer's windows, [`domain::score`] scores them against the reference's quantile
//! tables, [`domain::stars`] decides the stars, and a change of stars is stored and emitted: all in the
//! consumer's one transaction. [`rerate`] does the same for the whole base, in batches.
//!
//! Invariants:
//! - A transaction counts once however often its event arrives, and a void takes it out once.
//! - One function rates, for one purchase and for the whole base: rating everybody again at the same
//!   moment, against the same reference, changes nothing.
//! - Scores are whole numbers; the parts of an explanation add up to the score exactly.
//! - This crate never reads another service's database and never asks for the time but of the platform.
//!
//! Decisions: one currency for the whole base (a setting; transactions in another are counted as
//! ignored). Time has the resolution of a day. Percentiles are taken among those who bought within the
//! indicator's window, so that in a base of mostly dormant customers the dormant ones have one star.

pub mod config;
mod distribution;
pub mod domain;
pub mod error;
mod events;
mod features;
mod frozen;
mod grpc;
mod models;
pub mod projections;
pub mod ratings;
mod reference;
pub mod rerate;
mod rfm;
pub mod store;

use common::db::Migrations;
use common::platform::Platform;
use common::service::{Assembly, Service};
use frozen::FrozenCache;

use api::segmentation::v1::segmentation_service_server::SegmentationServiceServer;

/// The segmentation service.
#[derive(Debug)]
pub struct Segmentation;

impl Service for Segmentation {
    const NAME: &'static str = "segmentation";
    type Config = config::Config;

    fn migrations() -> Migrations {
        Migrations {
            postgres: sqlx::migrate!("migrations/postgres"),
            sqlite: sqlx::migrate!("migrations/sqlite"),
        }
    }

    fn build(
        config: &config::Config,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), common::Error> {
        let currency = config.segmentation_currency.clone();
        let projections = projections::Purchases::new(currency.clone());
        let service = grpc::Grpc {
            platform: platform.clone(),
            currency,
            frozen: FrozenCache::default(),
        };
        assembly.grpc(SegmentationServiceServer::new(service));
        assembly.consume(platform, "customer", projections)
    }
}
