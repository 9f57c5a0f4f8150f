//! Creating, changing and deleting one customer.

use std::collections::BTreeSet;

use api::customer::v1 as pb;
use common::db::Tx;
use common::ids::CustomerId;
use common::platform::Platform;

use crate::domain::{Customer, Key, Mask, Profile};
use crate::error::Error;
use crate::merges::check_stands;
use crate::{events, store};

/// A customer to create.
#[derive(Debug)]
pub struct Create {
    /// The id, if the caller chose it.
    pub customer_id: Option<CustomerId>,
    /// The values.
    pub profile: Profile,
}

/// A change of a customer.
#[derive(Debug)]
pub struct Update {
    /// Whom.
    pub customer_id: CustomerId,
    /// The state it is based on; empty when the caller does not care.
    pub etag: String,
    /// Which fields.
    pub mask: Mask,
    /// Their values.
    pub profile: Profile,
}

/// A deletion.
#[derive(Debug)]
pub struct Delete {
    /// Whom.
    pub customer_id: CustomerId,
    /// The state it is based on; empty when the caller does not care.
    pub etag: String,
}

/// Creates a customer.
pub async fn create(
    platform: &Platform,
    tx: &mut Tx,
    create: Create,
) -> Result<pb::CreateCustomerResponse, Error> {
    let id = create.customer_id.map_or_else(|| fresh_id(platform), Ok)?;
    let ids = BTreeSet::from([id.clone()]);
    if store::lock(tx, &ids).await?.contains_key(&id) {
        return Err(Error::CustomerAlreadyExists(id));
    }
    if !store::retired(tx, &ids).await?.is_empty() {
        return Err(Error::CustomerIdRetired(id));
    }
    let customer = Customer::new(id, create.profile, tx.now());
    check_external_ids(tx, &customer).await?;
    store::insert(tx, &[&customer]).await?;
    events::customer_created(tx, &customer);
    Ok(pb::CreateCustomerResponse {
        consistency_token: platform.token(&customer.id, customer.revision),
        customer: Some((&customer).into()),
    })
}

/// Changes a customer's profile.
pub async fn update(
    platform: &Platform,
    tx: &mut Tx,
    update: Update,
) -> Result<pb::UpdateCustomerResponse, Error> {
    let mut customer = lock_and_get(tx, &update.customer_id).await?;
    check_stands(&customer)?;
    common::etag::check(&update.etag, customer.profile_revision)?;
    let profile = update.mask.apply(&customer.profile, &update.profile);
    let changed = customer.revise(profile, tx.now());
    if !changed.is_empty() {
        check_external_ids(tx, &customer).await?;
        store::update(tx, &[&customer]).await?;
        events::customer_updated(tx, &customer, &changed);
    }
    Ok(pb::UpdateCustomerResponse {
        customer: Some((&customer).into()),
        changed_fields: events::owned(&changed),
        consistency_token: platform.token(&customer.id, customer.revision),
    })
}

/// Deletes a customer and retires the id.
pub async fn delete(
    platform: &Platform,
    tx: &mut Tx,
    delete: Delete,
) -> Result<pb::DeleteCustomerResponse, Error> {
    let customer = lock_and_get(tx, &delete.customer_id).await?;
    check_stands(&customer)?;
    if store::merges::has_absorbed(tx, &customer.id).await? {
        return Err(Error::CustomerHasAbsorbed(customer.id));
    }
    common::etag::check(&delete.etag, customer.profile_revision)?;
    let revision = customer.revision + 1;
    let now = tx.now();
    store::delete(tx, &customer.id).await?;
    store::retire(tx, &customer.id, revision, now).await?;
    events::customer_deleted(tx, &customer.id, revision);
    Ok(pb::DeleteCustomerResponse {
        consistency_token: platform.token(&customer.id, revision),
    })
}

/// A new customer's id.
pub fn fresh_id(platform: &Platform) -> Result<CustomerId, Error> {
    let parsed = CustomerId::parse(&platform.ids.uuid());
    parsed.map_err(|error| common::Error::Internal(format!("a UUID {error}")).into())
}

async fn lock_and_get(tx: &mut Tx, id: &CustomerId) -> Result<Customer, Error> {
    store::lock(tx, &BTreeSet::from([id.clone()])).await?;
    store::find(tx, id)
        .await?
        .ok_or_else(|| Error::CustomerNotFound(id.clone()))
}

async fn check_external_ids(tx: &mut Tx, customer: &Customer) -> Result<(), Error> {
    let keys: BTreeSet<Key> = customer.profile.external_keys().collect();
    let owners = store::owners(tx, &keys).await?;
    match owners.into_iter().find(|(_, owner)| *owner != customer.id) {
        Some((key, owner)) => Err(Error::ExternalIdTaken { key, owner }),
        None => Ok(()),
    }
}
