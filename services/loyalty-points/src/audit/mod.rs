//! Proof that the ledger is what it was: sealing it, replaying it, proving and explaining single postings of it.
//!
//! Postings are sealed off the hot path. The order is that of the change feed, whose positions are given after
//! commit: it has no gaps that fill later. One row's lock makes one sealer at a time, so any replica may run it.
//!
//! Invariants: a customer's postings are sealed in the order of their revisions; what is sealed never changes.

mod blocks;
pub mod divergence;
mod facts;
pub mod heads;
mod histories;
mod holds;
mod leaf;
mod limits;
mod lots;
mod members;
pub mod prove;
mod refundable;
pub mod seal;
pub mod signer;
mod tiers;
pub mod trace;
pub mod verify;
