//! Lots that can be spent for longer.

use common::ids::CustomerId;
use common::time::Timestamp;

use super::{Account, balance, merges, open};
use crate::domain::balance::Balance;
use crate::domain::extension as decide;
use crate::domain::lots::Lot;
use crate::domain::program::Program;
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
    /// Those of other lots of the same earning.
    pub of_same_earning: Vec<ExtensionRow>,
    /// What the member can spend now in the currency of the lot.
    pub balance: Balance,
    /// Code of that currency.
    pub currency: String,
}

/// Lets a lot be spent for longer. While it waits for an event, so are all lots that merges made of the same earning, as
/// its points may come back into any of them.
pub async fn extend(
    state: &State,
    work: &mut Work<'_>,
    extend: ExtendExpiry,
) -> Result<Extended, Error> {
    let program = &state.programs;
    let program = program.get(work.tx(), &extend.account.program_id).await?;
    let asked = (&extend.account.customer_id, extend.lot_id.as_str());
    let others = merges::lots_of_same_earning(work, &program, asked).await?;
    let (_, lock, _) = open(state, work, &extend.account).await?;
    work.settle(&lock);
    let lot = find(work, &program, asked).await?;
    let lot = lot.ok_or_else(|| Error::LotNotFound(extend.lot_id.clone()))?;
    let wallet = lot.wallet.clone();
    let from = decide::extend(&mut lot.clone(), extend.to, work.now())?;
    let extension = record(
        work,
        &program,
        (&extend, &extend.account.customer_id),
        (&lot, from),
    );
    let extension = extension.await?;
    let mut of_same_earning = Vec::new();
    if lot.activates_at.is_none() {
        for (customer_id, lot_id) in others {
            let Some(other) = find(work, &program, (&customer_id, &lot_id)).await? else {
                continue;
            };
            if other.activates_at.is_none() && other.expires_at == lot.expires_at {
                let extension = record(work, &program, (&extend, &customer_id), (&other, from));
                of_same_earning.push(extension.await?);
            }
        }
    }
    let account = AccountKey {
        customer_id: &extension.customer_id,
        program_id: program.program_id.as_str(),
        wallet: &wallet,
    };
    let balance = balance(work, account).await?;
    let currency = program.code_of(&wallet).to_owned();
    Ok(Extended {
        extension,
        of_same_earning,
        balance,
        currency,
    })
}

/// Records that a lot of a locked member can be spent for longer than until `from`.
async fn record(
    work: &mut Work<'_>,
    program: &Program,
    (asked, customer_id): (&ExtendExpiry, &CustomerId),
    (lot, from): (&Lot, Timestamp),
) -> Result<ExtensionRow, Error> {
    let mut lock = merges::lock_of(work, customer_id).await?;
    let extension = ExtensionRow {
        customer_id: customer_id.clone(),
        revision: lock.next(),
        program_id: program.program_id.to_string(),
        lot_id: lot.lot_id.clone(),
        from,
        to: asked.to,
        reason: asked.reason.clone(),
        extended_at: work.now(),
        actor: asked.account.actor.clone(),
    };
    extensions::insert(work.direct(), &extension).await?;
    events::expiry_extended(work.tx(), &extension, program.code_of(&lot.wallet));
    work.settle(&lock);
    work.forget(customer_id).await?;
    Ok(extension)
}

/// A lot, whatever is left of it.
async fn find(
    work: &mut Work<'_>,
    program: &Program,
    (customer_id, lot_id): (&CustomerId, &str),
) -> Result<Option<Lot>, Error> {
    work.flush().await?;
    let name = program.program_id.as_str();
    let found = refunds::list_lots(work.tx(), customer_id, name, &[lot_id]).await?;
    Ok(found.into_iter().find(|lot| lot.lot_id == lot_id))
}
