//! All SQL of this service. One text for both databases, a pair where they differ.

pub mod balances;
pub mod earning_lines;
pub mod entries;
pub mod extensions;
pub mod holds;
pub mod lots;
pub mod members;
pub mod pending;
pub mod postings;
pub mod programs;
pub mod qualifying;
pub mod recalculation;
pub mod refunds;
pub mod replay;
pub mod reversals;
pub mod seal_nodes;
pub mod seals;
pub mod statements;
pub mod summary;
pub mod tier_overrides;
pub mod tiers;
pub mod voided_purchases;
