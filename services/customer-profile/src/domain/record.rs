//! Facts about customers that arrive in batches: each is recorded once, whatever is repeated.

use std::collections::{BTreeMap, HashMap};

use common::ids::CustomerId;
use serde::Serialize;

/// A thing's id in the system it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The system.
    pub source: String,
    /// The id there.
    pub external_id: String,
}

/// Something that happened to a customer, unique by its key.
pub trait Fact {
    /// Whom it concerns.
    fn customer_id(&self) -> &CustomerId;
    /// What it is known by outside.
    fn key(&self) -> &Key;
    /// Identifier here.
    fn id(&self) -> &str;
    /// Fields in which what happened differs from another fact, not counting what this service added.
    fn differing(&self, other: &Self) -> Vec<&'static str>;
}

/// What becomes of one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// New; it takes its customer to this revision.
    Record {
        /// The customer's revision with it.
        revision: i64,
    },
    /// The same is recorded.
    Already {
        /// As it was recorded.
        id: String,
    },
    /// Something else is recorded under its key.
    Conflict {
        /// What was recorded.
        id: String,
        /// Where they differ.
        differing: Vec<&'static str>,
    },
    /// There is no such customer.
    UnknownCustomer,
}

/// Decides each item in order. `revisions` holds the customers that exist, `recorded` what is known under the
/// items' keys; both are brought up to date, so that an item sees the ones before it.
pub fn decide<F: Fact + Clone>(
    items: &[&F],
    revisions: &mut BTreeMap<CustomerId, i64>,
    recorded: &mut HashMap<Key, F>,
) -> Vec<Decision> {
    let mut decide_one = |item: &F| {
        if let Some(known) = recorded.get(item.key()) {
            let (id, differing) = (known.id().to_owned(), item.differing(known));
            return if differing.is_empty() {
                Decision::Already { id }
            } else {
                Decision::Conflict { id, differing }
            };
        }
        let Some(revision) = revisions.get_mut(item.customer_id()) else {
            return Decision::UnknownCustomer;
        };
        *revision += 1;
        recorded.insert(item.key().clone(), item.clone());
        Decision::Record {
            revision: *revision,
        }
    };
    items.iter().map(|item| decide_one(item)).collect()
}
