//! The loyalty service over gRPC, on both databases, fed by a real change feed.

mod adjustments;
mod disorder;
mod extensions;
mod feed;
mod holds;
mod ledger;
mod members;
mod programs;
mod refunds;
mod refusals;
mod reversals;
mod shop;
mod statements;
mod storage;
mod tiers;
mod transfers;
