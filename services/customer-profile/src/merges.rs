//! Merging customers who are the same person, and undoing it.
//!
//! Invariant: a merge changes no profile and moves nothing that was recorded: undone, all is as it was.

use std::collections::{BTreeMap, BTreeSet};

use api::customer::v1 as pb;
use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::page::PageRequest;
use common::sealing::KeyRing;
use common::time::Timestamp;

use crate::domain::{Customer, Merge, Merged, Undone};
use crate::error::Error;
use crate::{State, events, store};

/// Customers to merge.
#[derive(Debug)]
pub struct MergeCustomers {
    /// Who will stand for both.
    pub survivor: CustomerId,
    /// The state it is based on; empty when the caller does not care.
    pub survivor_etag: String,
    /// Who is merged; another customer.
    pub absorbed: CustomerId,
    /// The state it is based on; empty when the caller does not care.
    pub absorbed_etag: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A merge to undo.
#[derive(Debug)]
pub struct UnmergeCustomers {
    /// Which.
    pub merge_id: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A merge that was made or undone, and the two customers as it leaves them.
pub struct Changed {
    /// The merge.
    pub merge: Merge,
    /// Who stands or stood for both.
    pub survivor: Customer,
    /// The other one.
    pub absorbed: Customer,
}

/// Merges two customers who stand for themselves.
pub async fn merge(state: &State, tx: &mut Tx, request: MergeCustomers) -> Result<Changed, Error> {
    let MergeCustomers {
        survivor,
        absorbed,
        actor,
        reason,
        ..
    } = request;
    let mut locked = lock_and_load(tx, &state.keys.ring(), [&survivor, &absorbed]).await?;
    let mut survivor = take(&mut locked, &survivor)?;
    let mut absorbed = take(&mut locked, &absorbed)?;
    for customer in [&absorbed, &survivor] {
        check_stands(&customer.id, customer.merged.as_ref())?;
    }
    common::etag::check(&request.survivor_etag, survivor.profile_revision)?;
    common::etag::check(&request.absorbed_etag, absorbed.profile_revision)?;
    let merge = Merge {
        id: state.platform.ids.uuid(),
        survivor: survivor.id.clone(),
        absorbed: absorbed.id.clone(),
        actor,
        reason,
        merged_at: tx.now(),
        undone: None,
    };
    store::merges::insert(tx, &merge).await?;
    store::merges::update_merged_into(tx, &absorbed.id, Some(&survivor.id)).await?;
    absorbed.merged = Some(Merged {
        into: survivor.id.clone(),
        survivor: survivor.id.clone(),
    });
    move_on(tx, &mut survivor, &mut absorbed, merge.merged_at).await?;
    for customer in [&absorbed, &survivor] {
        events::customer_merged(tx, customer, &merge);
    }
    Ok(Changed {
        merge,
        survivor,
        absorbed,
    })
}

/// Undoes a merge, also while the survivor is merged itself.
pub async fn unmerge(
    state: &State,
    tx: &mut Tx,
    request: UnmergeCustomers,
) -> Result<Changed, Error> {
    let UnmergeCustomers {
        merge_id,
        actor,
        reason,
    } = request;
    let found = get(tx, &merge_id).await?;
    let locked = lock_and_load(tx, &state.keys.ring(), [&found.survivor, &found.absorbed]).await;
    // Read again: only what is seen under the locks counts.
    let mut merge = get(tx, &merge_id).await?;
    if merge.undone.is_some() {
        return Err(Error::MergeAlreadyUndone(merge_id));
    }
    let mut locked = locked?;
    let mut survivor = take(&mut locked, &merge.survivor)?;
    let mut absorbed = take(&mut locked, &merge.absorbed)?;
    // Two instants of two machines: what is undone was done before.
    let at = tx.now().max(merge.merged_at);
    let undone = Undone { actor, reason, at };
    store::merges::update_undone(tx, &merge_id, &undone).await?;
    store::merges::update_merged_into(tx, &absorbed.id, None).await?;
    absorbed.merged = None;
    merge.undone = Some(undone);
    move_on(tx, &mut survivor, &mut absorbed, at).await?;
    for customer in [&absorbed, &survivor] {
        events::customer_unmerged(tx, customer, &merge, at);
    }
    Ok(Changed {
        merge,
        survivor,
        absorbed,
    })
}

/// One merge.
pub async fn get(db: &mut impl Access, merge_id: &str) -> Result<Merge, Error> {
    let merge = store::merges::find(db, merge_id).await?;
    merge.ok_or_else(|| Error::MergeNotFound(merge_id.to_owned()))
}

/// A page of merges, the latest first.
pub async fn list(
    db: &mut impl Access,
    customer_id: Option<&CustomerId>,
    page: &PageRequest,
) -> Result<pb::ListMergesResponse, Error> {
    let after: Option<(i64, String)> = page.after();
    // Ids are UUIDs: "~" stands after every one of them.
    let (micros, id) = after.unwrap_or((Timestamp::MAX.micros(), "~".to_owned()));
    let before = (Timestamp::from_micros(micros), id.as_str());
    let mut merges = store::merges::list(db, customer_id, before, page.size + 1).await?;
    let next_page_token = page.cut(&mut merges, |merge| {
        (merge.merged_at.micros(), merge.id.clone())
    });
    Ok(pb::ListMergesResponse {
        merges: merges.iter().map(Into::into).collect(),
        next_page_token,
    })
}

/// Refuses a customer who was merged.
pub fn check_stands(id: &CustomerId, merged: Option<&Merged>) -> Result<(), Error> {
    match merged {
        None => Ok(()),
        Some(merged) => Err(Error::CustomerMerged {
            customer_id: id.clone(),
            survivor: merged.survivor.clone(),
        }),
    }
}

async fn lock_and_load(
    tx: &mut Tx,
    ring: &KeyRing,
    ids: [&CustomerId; 2],
) -> Result<BTreeMap<CustomerId, Customer>, Error> {
    let ids: BTreeSet<_> = ids.into_iter().cloned().collect();
    store::lock(tx, &ids).await?;
    store::load(tx, ring, &ids).await
}

fn take(of: &mut BTreeMap<CustomerId, Customer>, id: &CustomerId) -> Result<Customer, Error> {
    of.remove(id)
        .ok_or_else(|| Error::CustomerNotFound(id.clone()))
}

/// Takes both to their next revision. Their profiles and etags stay.
async fn move_on(
    tx: &mut Tx,
    survivor: &mut Customer,
    absorbed: &mut Customer,
    now: Timestamp,
) -> Result<(), Error> {
    for customer in [&mut *survivor, &mut *absorbed] {
        customer.revision += 1;
        customer.changed_at = now;
    }
    let revisions = [
        (&survivor.id, survivor.revision),
        (&absorbed.id, absorbed.revision),
    ];
    store::update_revisions(tx, &revisions, now).await
}
