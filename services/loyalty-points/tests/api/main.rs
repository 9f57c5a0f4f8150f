//! The loyalty service over gRPC, on both databases, fed by a real change feed.

mod adjustments;
mod audit;
mod batch_post;
mod batches;
mod disorder;
mod extensions;
mod feed;
mod holds;
mod ledger;
mod members;
mod programs;
mod recalculation;
mod refunds;
mod refusals;
mod reversals;
mod shop;
mod statements;
mod storage;
mod tampering;
mod tier_metrics;
mod tier_overrides;
mod tier_policies;
mod tier_progress;
mod tier_versions;
mod tiers;
mod transfers;
