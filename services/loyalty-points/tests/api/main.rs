//! The loyalty service over gRPC, on both databases, fed by a real change feed.

mod adjustments;
mod approvals;
mod audit;
mod batch_post;
mod batches;
mod disorder;
mod extensions;
mod feed;
mod holds;
mod ledger;
mod lines;
mod members;
mod pending;
mod programs;
mod recalculation;
mod refunds;
mod refusals;
mod reversals;
mod shop;
mod statements;
mod storage;
mod tampering;
mod tier_overrides;
mod tier_progress;
mod tiers;
mod transfers;
