//! Creating, changing and deleting one customer.

use std::collections::BTreeSet;

use api::customer::v1 as pb;
use common::db::Tx;
use common::ids::CustomerId;
use common::platform::Platform;
use common::sealing::KeyRing;

use crate::domain::{Customer, Key, Mask, Profile};
use crate::error::Error;
use crate::merges::check_stands;
use crate::{State, events, store};

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
    state: &State,
    tx: &mut Tx,
    create: Create,
) -> Result<pb::CreateCustomerResponse, Error> {
    let id = create
        .customer_id
        .map_or_else(|| fresh_id(&state.platform), Ok)?;
    let ids = BTreeSet::from([id.clone()]);
    if store::lock(tx, &ids).await?.contains_key(&id) {
        return Err(Error::CustomerAlreadyExists(id));
    }
    if !store::retired(tx, &ids).await?.is_empty() {
        return Err(Error::CustomerIdRetired(id));
    }
    let customer = Customer::new(id, create.profile, tx.now());
    check_external_ids(tx, &customer).await?;
    store::insert(tx, &state.keys.ring(), &[&customer]).await?;
    events::customer_created(tx, &customer);
    Ok(pb::CreateCustomerResponse {
        consistency_token: state.platform.token(&customer.id, customer.revision),
        customer: Some((&customer).into()),
    })
}

/// Changes a customer's profile.
pub async fn update(
    state: &State,
    tx: &mut Tx,
    update: Update,
) -> Result<pb::UpdateCustomerResponse, Error> {
    let ring = state.keys.ring();
    let mut customer = lock_and_get(tx, &ring, &update.customer_id).await?;
    check_stands(&customer.id, customer.merged.as_ref())?;
    common::etag::check(&update.etag, customer.profile_revision)?;
    let profile = update.mask.apply(&customer.profile, &update.profile);
    let changed = customer.revise(profile, tx.now());
    if !changed.is_empty() {
        check_external_ids(tx, &customer).await?;
        store::update(tx, &ring, &[&customer]).await?;
        events::customer_updated(tx, &customer, &changed);
    }
    Ok(pb::UpdateCustomerResponse {
        customer: Some((&customer).into()),
        changed_fields: events::owned(&changed),
        consistency_token: state.platform.token(&customer.id, customer.revision),
    })
}

/// Deletes a customer and retires the id. Nothing is opened for it.
pub async fn delete(
    platform: &Platform,
    tx: &mut Tx,
    delete: Delete,
) -> Result<pb::DeleteCustomerResponse, Error> {
    let id = delete.customer_id;
    store::lock(tx, &BTreeSet::from([id.clone()])).await?;
    let Some(standing) = store::find_standing(tx, &id).await? else {
        return Err(Error::CustomerNotFound(id));
    };
    check_stands(&id, standing.merged.as_ref())?;
    if store::merges::has_absorbed(tx, &id).await? {
        return Err(Error::CustomerHasAbsorbed(id));
    }
    common::etag::check(&delete.etag, standing.profile_revision)?;
    let revision = standing.revision + 1;
    let now = tx.now();
    store::delete(tx, &id).await?;
    store::retire(tx, &id, revision, now).await?;
    events::customer_deleted(tx, &id, revision);
    Ok(pb::DeleteCustomerResponse {
        consistency_token: platform.token(&id, revision),
    })
}

/// A new customer's id.
pub fn fresh_id(platform: &Platform) -> Result<CustomerId, Error> {
    let parsed = CustomerId::parse(&platform.ids.uuid());
    parsed.map_err(|error| common::Error::Internal(format!("a UUID {error}")).into())
}

async fn lock_and_get(tx: &mut Tx, ring: &KeyRing, id: &CustomerId) -> Result<Customer, Error> {
    store::lock(tx, &BTreeSet::from([id.clone()])).await?;
    store::find(tx, ring, id)
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
