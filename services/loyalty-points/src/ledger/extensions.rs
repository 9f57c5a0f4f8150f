//! Lots that can be spent for longer.

use common::time::Timestamp;

use super::{Account, balance, open};
use crate::domain::balance::Balance;
use crate::domain::extension as decide;
use crate::error::Error;
use crate::store::accounts::AccountKey;
use crate::store::extensions::{self, ExtensionRow};
use crate::store::refunds;
use crate::work::Work;
use crate::{State, events};

/// A request to let a lot be spent for longer.
#[derive(Debug, Clone)]
pub struct ExtendExpiry {
    /// Whose.
    pub account: Account,
    /// The lot.
    pub lot_id: String,
    /// Until when.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

/// An extension that was recorded.
#[derive(Debug)]
pub struct Extended {
    /// The record.
    pub extension: ExtensionRow,
    /// What the member can spend now in the currency of the lot.
    pub balance: Balance,
    /// Code of that currency.
    pub currency: String,
}

/// Lets a lot be spent for longer.
pub async fn extend(
    state: &State,
    work: &mut Work<'_>,
    extend: ExtendExpiry,
) -> Result<Extended, Error> {
    let (program, mut lock, _) = open(state, work, &extend.account).await?;
    let customer_id = extend.account.customer_id;
    let program_id = program.program_id.as_str();
    let named = [extend.lot_id.as_str()];
    work.flush().await?;
    let found = refunds::list_lots(work.tx(), &customer_id, program_id, &named).await?;
    let lot = found.into_iter().find(|lot| lot.lot_id == extend.lot_id);
    let Some(mut lot) = lot else {
        return Err(Error::LotNotFound(extend.lot_id));
    };
    let now = work.now();
    let from = decide::extend(&mut lot, extend.to, now)?;
    let extension = ExtensionRow {
        customer_id,
        revision: lock.next(),
        program_id: program_id.to_owned(),
        lot_id: extend.lot_id,
        from,
        to: extend.to,
        reason: extend.reason,
        extended_at: now,
        actor: extend.account.actor,
    };
    extensions::insert(work.direct(), &extension).await?;
    events::expiry_extended(work.tx(), &extension, program.code_of(&lot.wallet));
    work.settle(&lock);
    work.forget(&extension.customer_id).await?;
    let account = AccountKey {
        customer_id: &extension.customer_id,
        program_id,
        wallet: &lot.wallet,
    };
    let balance = balance(work, account).await?;
    let currency = program.code_of(&lot.wallet).to_owned();
    Ok(Extended {
        extension,
        balance,
        currency,
    })
}
