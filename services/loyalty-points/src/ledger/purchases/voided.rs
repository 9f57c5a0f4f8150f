//! Purchases that were voided, and the money that goes back with the points.

use common::ids::CustomerId;

use super::{find, locked, pass_on, program_of, recount, source_key};
use crate::State;
use crate::domain::multiplier::left;
use crate::domain::program::Program;
use crate::domain::reversal::{Extent, Policy};
use crate::error::Error;
use crate::ledger::holds::let_go_timed_out;
use crate::ledger::{Asked, Reversal, is_taken_back, merges, plan_reversal, write};
use crate::store::members::{Lock, Standing};
use crate::store::purchases::{self, PurchaseKey};
use crate::store::{lots, postings, voided_purchases};
use crate::tiers::{self, Cause};
use crate::work::Work;

/// Takes back what a purchase earned, in every program. Where nothing is left of its points and its money, nothing is
/// touched.
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
    let mut touched = Vec::new();
    for mut standing in locked(state, work, customer_id).await? {
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
        let counts = find(work, key).await?.is_some_and(|(_, left)| left > 0);
        let source = source_key(program_id, transaction_id);
        let mut earned = work.find_source(&source).await?;
        if let Some(posting_id) = &earned
            && is_taken_back(work, standing.key(), posting_id).await?
        {
            earned = None;
        }
        if !counts && earned.is_none() {
            continue;
        }
        touched.push(program_id.to_owned());
        tiers::follow(state, work, &mut lock, &mut standing).await?;
        // What was paid no longer counts: by the posting, where there is one, so that the history tells why the tier falls.
        let Some(posting_id) = earned else {
            returned(work, key, Extent::Whole, (1, 1)).await?;
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
        let change = plan_reversal(work, &program, standing, reversal).await?;
        write::write(state, work, &mut lock, change).await?;
    }
    work.settle(&lock);
    pass_on(state, work, customer_id, (&touched, Cause::Reversal)).await
}

/// Takes back as much of a purchase's money as a reversal of its earning does. `part` of `whole` points were taken
/// back, this time included.
pub(in crate::ledger) async fn returned(
    work: &mut Work<'_>,
    key: PurchaseKey<'_>,
    extent: Extent,
    (part, whole): (i64, i64),
) -> Result<(), common::Error> {
    let Some((spend, before)) = find(work, key).await? else {
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
