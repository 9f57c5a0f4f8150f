//! Voiding a purchase.

use std::collections::BTreeSet;

use api::customer::v1 as pb;
use common::db::Tx;
use common::platform::Platform;

use crate::domain::{Key, Transaction, Voided};
use crate::error::Error;
use crate::{events, store};

/// How a caller names a purchase.
#[derive(Debug)]
pub enum Named {
    /// By its id here.
    Id(String),
    /// By its id in the system it came from.
    Key(Key),
}

/// A purchase to void.
#[derive(Debug)]
pub struct Void {
    /// Which.
    pub transaction: Named,
    /// Why.
    pub reason: String,
}

/// Voids a purchase: it stays on the timeline and counts no more.
pub async fn void(
    platform: &Platform,
    tx: &mut Tx,
    void: Void,
) -> Result<pb::VoidTransactionResponse, Error> {
    let customer_id = get(tx, &void.transaction).await?.customer_id;
    let locked = store::lock(tx, &BTreeSet::from([customer_id.clone()])).await?;
    // Read again: only what is seen under the lock counts.
    let mut transaction = get(tx, &void.transaction).await?;
    let Some(before) = locked.get(&transaction.customer_id) else {
        return Err(Error::KeyRaced);
    };
    if transaction.voided.is_some() {
        return Err(Error::TransactionAlreadyVoided(transaction.id));
    }
    let (revision, now) = (before + 1, tx.now());
    let voided = Voided {
        at: now,
        reason: void.reason,
    };
    store::transactions::update_voided(tx, &transaction, &voided).await?;
    store::update_revisions(tx, &[(&customer_id, revision)], now).await?;
    transaction.voided = Some(voided);
    events::transaction_voided(tx, &transaction, revision);
    Ok(pb::VoidTransactionResponse {
        transaction: Some((&transaction).into()),
        consistency_token: platform.token(&customer_id, revision),
    })
}

async fn get(tx: &mut Tx, named: &Named) -> Result<Transaction, Error> {
    let (found, name) = match named {
        Named::Id(id) => (store::transactions::find(tx, id).await?, id.clone()),
        Named::Key(key) => (
            store::transactions::find_by_keys(tx, &[key]).await?.pop(),
            format!("{}/{}", key.source, key.external_id),
        ),
    };
    found.ok_or(Error::TransactionNotFound(name))
}
