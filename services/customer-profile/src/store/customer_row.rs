//! A customer as the columns of `customer`, `personal_data` and `data_key`.

use std::collections::BTreeMap;

use common::ids::CustomerId;
use common::sealing::KeyRing;
use common::time::Timestamp;
use serde::Serialize;

use super::json;
use super::personal::{PersonalRow, parsed};
use crate::domain::{Customer, Merged, Profile};
use crate::error::Error;

/// A customer's columns in `customer`, to be written.
#[derive(Debug, Serialize)]
pub struct NewRow {
    pub customer_id: String,
    revision: i64,
    profile_revision: i64,
    created_at: i64,
    updated_at: i64,
    changed_at: i64,
    industry: String,
    source: String,
    tags: String,
    attributes: String,
}

/// All of a customer's columns.
#[derive(sqlx::FromRow)]
pub struct Row {
    pub customer_id: String,
    revision: i64,
    profile_revision: i64,
    created_at: i64,
    updated_at: i64,
    changed_at: i64,
    industry: String,
    source: String,
    tags: String,
    attributes: String,
    #[sqlx(flatten)]
    personal: PersonalRow,
    pub merged_into: Option<String>,
}

impl From<&Customer> for NewRow {
    fn from(customer: &Customer) -> Self {
        let Profile {
            personal: _,
            industry,
            source,
            tags,
            attributes,
            external_ids: _,
        } = &customer.profile;
        Self {
            customer_id: customer.id.to_string(),
            revision: customer.revision,
            profile_revision: customer.profile_revision,
            created_at: customer.created_at.micros(),
            updated_at: customer.updated_at.micros(),
            changed_at: customer.changed_at.micros(),
            industry: industry.clone(),
            source: source.clone(),
            tags: json(tags),
            attributes: json(attributes),
        }
    }
}

impl Row {
    /// As the domain has it.
    pub fn customer(
        self,
        ring: &KeyRing,
        external_ids: BTreeMap<String, String>,
        survivors: &BTreeMap<CustomerId, CustomerId>,
    ) -> Result<Customer, Error> {
        let id = stored_id(&self.customer_id)?;
        let merged = match self.merged_into {
            None => None,
            Some(into) => Some(Merged {
                into: stored_id(&into)?,
                survivor: survivors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| corrupt("merged_into", &into))?,
            }),
        };
        let personal = self.personal.personal(ring, &id)?;
        Ok(Customer {
            id,
            merged,
            revision: self.revision,
            profile_revision: self.profile_revision,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            changed_at: Timestamp::from_micros(self.changed_at),
            profile: Profile {
                personal,
                industry: self.industry,
                source: self.source,
                tags: parsed("tags", &self.tags)?,
                attributes: parsed("attributes", &self.attributes)?,
                external_ids,
            },
        })
    }
}

/// An id that was checked before it was stored.
pub fn stored_id(text: &str) -> Result<CustomerId, Error> {
    CustomerId::parse(text).map_err(|_| corrupt("customer_id", text))
}

/// Something is stored that this service never writes.
pub fn corrupt(column: &str, value: &str) -> Error {
    common::Error::Internal(format!("column {column} holds {value:?}")).into()
}
