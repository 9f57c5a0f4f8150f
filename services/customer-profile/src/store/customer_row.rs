//! A customer as the columns of `customer` and `personal_data`.

use std::collections::BTreeMap;

use common::ids::CustomerId;
use common::time::Timestamp;
use serde::Serialize;

use super::json;
use crate::domain::{Customer, Gender, Merged, Personal, Profile};
use crate::error::Error;

/// A customer's columns in `customer` and `personal_data`.
#[derive(Debug, Serialize, sqlx::FromRow)]
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
    display_name: String,
    given_name: String,
    family_name: String,
    contacts: String,
    address: String,
    birth_date: Option<String>,
    gender: Gender,
    pub merged_into: Option<String>,
}

impl From<&Customer> for Row {
    fn from(customer: &Customer) -> Self {
        let Profile {
            personal,
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
            display_name: personal.display_name.clone(),
            given_name: personal.given_name.clone(),
            family_name: personal.family_name.clone(),
            contacts: json(&personal.contacts),
            address: json(&personal.address),
            birth_date: personal.birth_date.map(|date| date.to_string()),
            gender: personal.gender,
            merged_into: customer
                .merged
                .as_ref()
                .map(|merged| merged.into.to_string()),
        }
    }
}

impl Row {
    /// As the domain has it.
    pub fn customer(
        self,
        external_ids: BTreeMap<String, String>,
        survivors: &BTreeMap<CustomerId, CustomerId>,
    ) -> Result<Customer, Error> {
        fn parsed<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
            // The value may be personal: it stays out of the error.
            serde_json::from_str(text).map_err(|_| corrupt(column, "no JSON of its form"))
        }
        let birth_date = self
            .birth_date
            .map(|date| date.parse().map_err(|_| corrupt("birth_date", "no date")));
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
        Ok(Customer {
            id,
            merged,
            revision: self.revision,
            profile_revision: self.profile_revision,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            changed_at: Timestamp::from_micros(self.changed_at),
            profile: Profile {
                personal: Personal {
                    display_name: self.display_name,
                    given_name: self.given_name,
                    family_name: self.family_name,
                    contacts: parsed("contacts", &self.contacts)?,
                    address: parsed("address", &self.address)?,
                    birth_date: birth_date.transpose()?,
                    gender: self.gender,
                },
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
