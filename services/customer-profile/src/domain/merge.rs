//! Merges: customers found to be the same person.

use common::ids::CustomerId;
use common::time::Timestamp;

/// Who stands for a customer that was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Into whom it was merged.
    pub into: CustomerId,
    /// Where that leads: the customer who stands for itself.
    pub survivor: CustomerId,
}

/// A merge as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// Its identifier.
    pub id: String,
    /// Who stands for both.
    pub survivor: CustomerId,
    /// Who was merged.
    pub absorbed: CustomerId,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub merged_at: Timestamp,
    /// That it was undone.
    pub undone: Option<Undone>,
}

/// That a merge was undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}
