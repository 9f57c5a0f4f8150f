//! Loyalty: programs, their members, the points ledger and the tiers.
//!
//! # Life of a request
//! `grpc` parses a request into domain types. A posting joins a line of the `writer`, which commits together what
//! is asked for at the same time: it locks the customers' rows and reads what the decisions need in one go (`work`),
//! lets each use case of `ledger` ask `domain` for its decision, writes sets through `store` with their events, and
//! gives each caller an answer of its own. Purchases and their voids arrive as events of the customer service in
//! `projections` and take the same path, a batch of events at once. What is no posting (`members`, `programs`,
//! `tiers`) is a mutation with a transaction of its own.
//!
//! # The ledger
//! A program has one or more point currencies, and a member an *account* in each; which one points are in is their
//! *wallet*. Accounts have nothing to do with each other: lots, holds and debt are of one, each posting is to one, and
//! what follows is true of each alone. Purchases earn in the first currency, and only that counts for tiers.
//!
//! An earning makes a *lot*; spending takes from the lot that expires first. Every change is a *posting*
//! whose *entries* add up to zero over the member's points, the member's debt and the accounts beside
//! them. Postings, entries and tier changes are append-only, enforced by triggers. A lot's state and a
//! member's tier follow from the instant of reading: nothing depends on a clean-up having run. Expired
//! points are written off in passing, when points of the member are next spent or taken back, or by a sweep in the
//! background, which also tells ahead of time of points that will expire.
//!
//! A lot may wait for an event instead of an instant: it is pending until it is *activated*, which begins its
//! validity, or *cancelled*, which takes it back. Pending points, whatever they wait for, count for the tier from when
//! they were earned and repay debt at once; taken back, they count no longer and the debt returns.
//!
//! A *hold* sets points of lots aside, to be captured or let go. It times out by the clock too: what readers
//! see is what it is at that instant, and the postings follow before the next decision about the member.
//!
//! An earning may come with *lines*, as purchases do, and be taken back by them: exactly, in whatever order and parts.
//! An adjustment above the program's limit needs an approver other than the caller, named in the posting.
//!
//! Members who are the same person are *merged*: all that one has goes to the other, who stands for both from then on,
//! and whatever is posted to it later is passed on in the same transaction. What was earned, spent and bought stays in
//! the ledger where it is, and counts for the tier of who stands for it. Undone, a merge leaves what is left where it
//! was: lots remember which lots they came from.
//!
//! *Earning limits* are caps on what one member earns in a window of the calendar and budgets of what a program's members
//! earn together. An earning is held against those that the program had when the member was read under the lock: it is
//! refused or cut, and what each limit made of it is recorded in the posting. What a limit has used of a window is a
//! row, changed in the same transaction; of a reversal it gets back what was taken back, in just that window. The row
//! of a budget is the one that everybody shares: it is read without a lock, written last of all, and made sure of then
//! that it still fits; what no longer does is decided again. A purchase of which limits leave nothing is posted with 0
//! points, so that it earns nothing for ever. Members who were merged are one person to a cap. Where a program has no
//! limits none of this costs a statement: the member's row tells.
//!
//! The ledger of another system is *imported* row by row: each row is posted as of when it occurred there, by the same
//! writer. The source of an imported posting is the row, which makes a repeat harmless.
//!
//! A *tier override* is a tier given by hand. It wins over what is earned until its end, which readers notice by
//! the clock; `RecalculateTiers` only makes known what readers would find.
//!
//! What takes many transactions and is asked for by somebody (a sweep, a recalculation, a seal) is a *run*: who asked
//! and why is kept, and asked for again, it tells what it did and goes on where it was cut off. See `runs`.
//!
//! A *tier policy* is published in versions that never change; each holds from an instant on and is applied as if it
//! had always held. What is stored of a member's tier names the version that decided it: one decided under an older
//! version than holds is decided anew when it is next read or posted to.
//!
//! Postings are sealed in the background, in the order of the change feed: `audit` chains them, replays them,
//! proves single ones and explains them. Heads of the chain are signed where there is a key. The key is never in the
//! database: whoever can rewrite the ledger must not be able to sign what they make of it.
//!
//! # Invariants
//! - `customers.revision` grows by one with each event about a customer; whoever changes anything of a
//!   customer holds the lock on that row.
//! - A source (a purchase, a promotion) earns once for ever by one rule: a unique key.
//! - What the customer service tells of a purchase touches nothing where nothing comes of it: a purchase that is known, a
//!   void of which all was taken back.
//! - In each account, points equal the sum of what the lots have left, and what is held the sum of what open holds
//!   pin; points and debt are never both above 0. Points never move from one currency to another.
//! - Programs never change once created, but for versions of the tier policy and of limits that are added; `programs`
//!   tells how every replica comes to know of one.
//! - What is used of a limit is what the earnings counted in it come to, less what was taken back of them; it never
//!   grows beyond what the limit has.
//! - Where it does not follow from the program, a posting tells from when on and until when the lots that it makes can be
//!   spent, and when the hold that it makes times out: that is sealed with it.
//! - A merged member has nothing but what open holds pin, and a merge has its effect once, by its id.
//! - A tier follows from what counts, the version of the policy that holds, and the instant: nothing else is kept to
//!   decide or to check it.

mod audit;
pub mod config;
pub mod domain;
mod error;
mod events;
mod grpc;
mod ledger;
mod limits;
mod members;
mod programs;
mod projections;
mod runs;
mod store;
mod tiers;
mod work;
mod writer;

use api::loyalty::v1::audit_service_server::AuditServiceServer;
use api::loyalty::v1::limit_service_server::LimitServiceServer;
use api::loyalty::v1::loyalty_service_server::LoyaltyServiceServer;
use common::cache::{Options, VersionedCache};
use common::db::Migrations;
use common::platform::Platform;
use common::server::Drain;
use common::service::{Assembly, Service};

use crate::audit::signer::Signer;
use crate::programs::Programs;
use crate::projections::Projections;
use crate::tiers::TierStanding;
use crate::writer::Writer;

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct Loyalty;

/// What the use cases share.
#[derive(Clone)]
struct State {
    platform: Platform,
    programs: Programs,
    tiers: VersionedCache<TierStanding>,
    writer: Writer,
    signer: Signer,
    drain: Drain,
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
        let signer = config.signer()?;
        if signer.public().is_none() {
            tracing::info!("heads of the points ledger are not signed: no key is configured");
        }
        let cached = Options {
            l1_capacity: config.tiers_in_memory_max,
            ..Options::default()
        };
        let state = State {
            platform: platform.clone(),
            signer,
            drain: assembly.drain(),
            programs: Programs::default(),
            tiers: VersionedCache::new(&platform.cache, "tier", cached),
            writer: Writer::new(platform.db.dialect(), config.posting_batch_max.into()),
        };
        assembly.grpc(LoyaltyServiceServer::new(grpc::Grpc::new(state.clone())));
        assembly.lookup(grpc::tier_lookup::TierLookup::new(state.clone()));
        assembly.grpc(AuditServiceServer::new(grpc::audit::Audit::new(
            state.clone(),
        )));
        assembly.grpc(LimitServiceServer::new(grpc::limits::Limits::new(
            state.clone(),
        )));
        let sealed = platform.clone();
        assembly.task(move |stop| audit::seal::run(sealed, stop));
        let (swept, every) = (state.clone(), config.sweep_every);
        assembly.task(move |stop| ledger::sweep::run(swept, every, stop));
        let kept = state.clone();
        assembly.task(move |stop| runs::run(kept, stop));
        assembly.consume(platform, "customer", Projections::new(state))
    }
}
