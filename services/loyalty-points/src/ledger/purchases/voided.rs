//! Purchases that were voided, and the money that goes back with the points.

use common::ids::CustomerId;

use super::{pass_on, program_of, recount, source_key};
use crate::State;
use crate::domain::multiplier::left;
use crate::domain::program::Program;
use crate::domain::reversal::{Extent, Policy};
use crate::error::Error;
use crate::ledger::holds::let_go_timed_out;
use crate::ledger::{Asked, Reversal, merges, plan_reversal, write};
use crate::store::members::{Lock, Standing};
use crate::store::purchases::{self, PurchaseKey};
use crate::store::{lots, postings, voided_purchases};
use crate::tiers::{self, Cause};
use crate::work::Work;

/// Takes back what a purchase earned, in every program. Nothing happens where it earned nothing or was
/// taken back before.
pub async fn voided(
    state: &State,
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<(), Error> {
    let Some(mut lock) = work.lock(customer_id).await? else {
        return Ok(());
    };
    // A recording that was parked is applied after the void, if ever.
    voided_purchases::insert(work.direct(), customer_id, transaction_id).await?;
    for mut standing in work.standings(customer_id, "").await? {
        tiers::follow(state, work, &mut lock, &mut standing).await?;
        if standing.member.is_closed() {
            continue;
        }
        let program = program_of(state, work, &standing).await?;
        let program_id = program.program_id.as_str();
        let key = PurchaseKey {
            customer_id,
            program_id,
            transaction_id,
        };
        returned(work, key, Extent::Whole, (1, 1)).await?;
        let source = source_key(program_id, transaction_id);
        let Some(posting_id) = work.find_source(&source).await? else {
            recount(state, work, &mut lock, standing, Cause::Reversal).await?;
            continue;
        };
        let standing = let_go_timed_out(state, work, &mut lock, &program, standing).await?;
        let of = (program.as_ref(), standing);
        let standing = recall(state, work, &mut lock, of, &posting_id).await?;
        let reversal = Reversal {
            posting_id,
            asked: Asked::Extent(Extent::Whole),
            policy: Policy::AllowDebt,
            reason: "purchase voided".to_owned(),
            actor: None,
        };
        match plan_reversal(work, &program, standing.clone(), reversal).await {
            // Limits left nothing of it; what was paid no longer counts.
            Err(Error::NothingToReverse) => {
                recount(state, work, &mut lock, standing, Cause::Reversal).await?;
            }
            Ok(change) => drop(write::write(state, work, &mut lock, change).await?),
            Err(Error::AlreadyReversed(_) | Error::TransactionNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    work.settle(&lock);
    pass_on(state, work, customer_id, Cause::Reversal).await
}

/// Takes back as much of a purchase's money as a reversal of its earning does. `part` of `whole` points were taken
/// back, this time included.
pub(in crate::ledger) async fn returned(
    work: &mut Work<'_>,
    key: PurchaseKey<'_>,
    extent: Extent,
    (part, whole): (i64, i64),
) -> Result<(), common::Error> {
    work.flush().await?;
    let Some((spend, before)) = purchases::find(work.tx(), key).await? else {
        return Ok(());
    };
    let (part, whole) = match extent {
        Extent::Returned { original, returned } => (returned, original),
        Extent::Whole => (1, 1),
        Extent::Points(_) => (part, whole),
    };
    let remaining = left(spend, part, whole).min(before);
    if remaining < before {
        purchases::update(work.direct(), key, remaining).await?;
    }
    Ok(())
}

/// Gets what is left of an earning of a merged member back, so that it is taken from there; what a member who stands
/// for itself has left is where it was.
async fn recall(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    (program, standing): (&Program, Standing),
    posting_id: &str,
) -> Result<Standing, Error> {
    if standing.member.survivor.is_none() {
        return Ok(standing);
    }
    let customer_id = &standing.member.customer_id;
    let program_id = program.program_id.as_str();
    work.settle(lock);
    work.flush().await?;
    let found = postings::find(work.tx(), customer_id, program_id, posting_id).await?;
    if found.is_some() {
        let lot_id = lots::find_id_of_posting(work.tx(), customer_id, posting_id).await?;
        if let Some(lot_id) = lot_id {
            merges::recall(state, work, program, customer_id, &lot_id).await?;
        }
    }
    if let Some(latest) = work.lock(customer_id).await? {
        *lock = latest;
    }
    let noted = work.standings(customer_id, program_id).await?;
    Ok(noted.into_iter().next().unwrap_or(standing))
}
