//! A customer.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::CustomerId;
use common::time::Timestamp;

use super::{Field, Key, Merged, Personal};

/// Attributes of one customer.
pub const ATTRIBUTES_MAX: usize = 100;
/// External ids of one customer.
pub const EXTERNAL_IDS_MAX: usize = 50;

/// What callers may set of a customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Personal data.
    pub personal: Personal,
    /// Line of business.
    pub industry: String,
    /// Where the customer came from.
    pub source: String,
    /// Labels.
    pub tags: BTreeSet<String>,
    /// Custom attributes.
    pub attributes: BTreeMap<String, String>,
    /// Ids in other systems, by the system's name.
    pub external_ids: BTreeMap<String, String>,
}

impl Profile {
    /// The external ids as keys.
    pub fn external_keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.external_ids.iter().map(|(source, id)| Key {
            source: source.clone(),
            external_id: id.clone(),
        })
    }
}

/// A customer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Identifier.
    pub id: CustomerId,
    /// Grows by one with every change, purchases and interactions included.
    pub revision: i64,
    /// The revision at which the profile changed last: what the etag is made of, so that a purchase does not
    /// stand in the way of somebody who edits the name.
    pub profile_revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the profile changed last.
    pub updated_at: Timestamp,
    /// When anything changed last.
    pub changed_at: Timestamp,
    /// What callers set.
    pub profile: Profile,
    /// Who stands for it, where it was merged.
    pub merged: Option<Merged>,
}

impl Customer {
    /// A new customer at its first revision.
    pub fn new(id: CustomerId, profile: Profile, now: Timestamp) -> Self {
        Self {
            id,
            revision: 1,
            profile_revision: 1,
            created_at: now,
            updated_at: now,
            changed_at: now,
            profile,
            merged: None,
        }
    }

    /// Takes over a profile; returns the fields that changed. Without a difference nothing changes.
    pub fn revise(&mut self, profile: Profile, now: Timestamp) -> Vec<&'static str> {
        let changed = Field::changed(&self.profile, &profile);
        if !changed.is_empty() {
            self.profile = profile;
            self.revision += 1;
            self.profile_revision = self.revision;
            self.updated_at = now;
            self.changed_at = now;
        }
        changed
    }

    /// The etag of the profile.
    pub fn etag(&self) -> String {
        common::etag::of(self.profile_revision)
    }
}
