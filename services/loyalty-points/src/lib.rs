//! Loyalty: programs, their members, the points ledger and the tiers.
//!
//! # Life of a request
//! `grpc` parses a request into domain types and opens a mutation; a use case (`ledger`, `members`,
//! `programs`, `tiers`) locks the customer's row, reads what the decision needs, asks `domain` for it,
//! writes through `store` and emits its events, all in one transaction. Purchases and their voids
//! arrive as events of the customer service in `projections` and take the same path.
//!
//! # The ledger
//! An earning makes a *lot*; spending takes from the lot that expires first. Every change is a *posting*
//! whose *entries* add up to zero over the member's points, the member's debt and the accounts beside
//! them. Postings, entries and tier changes are append-only, enforced by triggers. A lot's state and a
//! member's tier follow from the instant of reading: nothing depends on a clean-up having run. Expired
//! points are written off in passing, when points of the member are next spent or taken back.
//!
//! A *hold* sets points of lots aside, to be captured or let go. It times out by the clock too: what readers
//! see is what it is at that instant, and the postings follow before the next decision about the member.
//!
//! A *tier override* is a tier given by hand. It wins over what is earned until its end, which readers notice by
//! the clock; `RecalculateTiers` only makes known what readers would find.
//!
//! Postings are sealed in the background, in the order of the change feed: `audit` chains them, replays them and
//! proves single ones.
//!
//! # Invariants
//! - `customers.revision` grows by one with each event about a customer; whoever changes anything of a
//!   customer holds the lock on that row.
//! - A source (a purchase, a promotion) earns once for ever by one rule: a unique key.
//! - A member's points equal the sum of what the lots have left, and what is held the sum of what open holds
//!   pin; points and debt are never both above 0.
//! - Programs never change once created, so they may be kept in memory.

mod audit;
pub mod config;
pub mod domain;
mod error;
mod events;
mod grpc;
mod ledger;
mod members;
mod programs;
mod projections;
mod store;
mod tiers;

use api::loyalty::v1::audit_service_server::AuditServiceServer;
use api::loyalty::v1::loyalty_service_server::LoyaltyServiceServer;
use common::cache::{Options, VersionedCache};
use common::db::Migrations;
use common::platform::Platform;
use common::service::{Assembly, Service};

use crate::programs::Programs;
use crate::projections::Projections;
use crate::tiers::TierStanding;

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct Loyalty;

/// What the use cases share.
#[derive(Clone)]
struct State {
    platform: Platform,
    programs: Programs,
    tiers: VersionedCache<TierStanding>,
}

impl Service for Loyalty {
    const NAME: &'static str = "loyalty";
    type Config = config::Config;

    fn migrations() -> Migrations {
        Migrations {
            postgres: sqlx::migrate!("migrations/postgres"),
            sqlite: sqlx::migrate!("migrations/sqlite"),
        }
    }

    fn build(
        config: &Self::Config,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), common::Error> {
        let cached = Options {
            l1_capacity: config.tiers_in_memory_max,
            ..Options::default()
        };
        let state = State {
            platform: platform.clone(),
            programs: Programs::default(),
            tiers: VersionedCache::new(&platform.cache, "tier", cached),
        };
        assembly.grpc(LoyaltyServiceServer::new(grpc::Grpc::new(state.clone())));
        assembly.grpc(AuditServiceServer::new(grpc::audit::Audit::new(
            state.clone(),
        )));
        let sealed = platform.clone();
        assembly.task(move |stop| audit::seal::run(sealed, stop));
        assembly.consume(platform, "customer", Projections::new(state))
    }
}
