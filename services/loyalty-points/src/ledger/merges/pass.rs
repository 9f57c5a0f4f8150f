//! Passing on what a merged member has.

use common::ids::CustomerId;

use super::feed::caller;
use super::parts::{debt_part, lot_part};
use super::{Amounts, Moved, MovedLot, Passed, find, find_account, lock_of, tidy};
use crate::State;
use crate::domain::lots::Lot;
use crate::domain::merge::{self as decide, Leaving};
use crate::domain::program::Program;
use crate::error::Error;
use crate::ledger::{Change, Origin, write};
use crate::store::members::Standing;
use crate::store::merge_parts::{self, PartRow};
use crate::store::merges::{self, MergeRow};
use crate::tiers::{self, Cause};
use crate::work::Work;

/// Passes on whatever a merged member has left or owes once what it has earned has changed: the tier of who stands for
/// it is decided anew before.
pub async fn pass_on_earned(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
    cause: Cause,
) -> Result<Vec<Passed>, Error> {
    let standing = find(work, program, customer_id).await?;
    if let Some(survivor) = standing.member.survivor {
        renew(state, work, program, &survivor, cause).await?;
    }
    pass_on(state, work, program, customer_id).await
}

/// Passes on whatever a merged member has left or owes, from hand to hand to who stands for it. Returns what went from
/// whom to whom. Nothing happens to one that stands for itself, nor to others where nothing is left.
pub async fn pass_on(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<Vec<Passed>, Error> {
    // Rare, and large.
    Box::pin(pass(state, work, program, customer_id)).await
}

async fn pass(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<Vec<Passed>, Error> {
    let (mut at, mut steps) = (customer_id.clone(), Vec::new());
    loop {
        let standing = find(work, program, &at).await?;
        if standing.member.survivor.is_none() {
            return Ok(steps);
        }
        let merge = merges::get_standing(work.tx(), program.program_id.as_str(), &at).await?;
        let moved = hand_over(state, work, program, standing, &merge).await?;
        if moved.is_empty() {
            // Nor does anything go on from there: what time has done to others is none of this member's.
            return Ok(steps);
        }
        steps.push(Passed {
            from: at,
            to: merge.survivor.clone(),
            moved,
        });
        at = merge.survivor;
    }
}

/// Decides the tier of who stands for others anew: what those have earned may have changed.
pub(super) async fn renew(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
    cause: Cause,
) -> Result<(), Error> {
    let mut lock = lock_of(work, customer_id).await?;
    work.forget(customer_id).await?;
    let mut standing = find(work, program, customer_id).await?;
    if !standing.member.is_closed() {
        tiers::renew(state, work, &mut lock, &mut standing, cause).await?;
        work.settle(&lock);
    }
    Ok(())
}

/// Hands all that a member has left or owes over to who took it in, account by account.
async fn hand_over(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    standing: Standing,
    merge: &MergeRow,
) -> Result<Amounts, Error> {
    let (from, to) = (standing.member.customer_id.clone(), &merge.survivor);
    let mut lock = lock_of(work, &from).await?;
    tidy(state, work, &mut lock, program, standing).await?;
    let (mut moved, mut is_tidy) = (Amounts::new(), false);
    for wallet in program.wallets() {
        let standing = find_account(work, program, &from, &wallet).await?;
        let lots = work.open_lots(standing.key()).await?;
        let Some(leaving) = decide::leave(standing.holding(), lots, work.now()) else {
            continue;
        };
        if !std::mem::replace(&mut is_tidy, true) {
            let mut lock = lock_of(work, to).await?;
            let receiving = find(work, program, to).await?;
            tidy(state, work, &mut lock, program, receiving).await?;
        }
        let amount = hand_over_account(state, work, program, (standing, leaving), merge).await?;
        moved.insert(wallet, amount);
    }
    Ok(moved)
}

/// Hands over what leaves one account; returns that.
async fn hand_over_account(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    (standing, leaving): (Standing, Leaving),
    merge: &MergeRow,
) -> Result<Moved, Error> {
    let (from, to) = (standing.member.customer_id.clone(), &merge.survivor);
    let wallet = standing.wallet().clone();
    let receiving = find_account(work, program, to, &wallet).await?;
    let own = work.open_lots(receiving.key()).await?;
    let arriving = decide::arriving(&leaving.lots, || state.platform.ids.uuid());
    let pairs = leaving.lots.iter().zip(&arriving);
    let mut parts: Vec<_> = pairs
        .map(|(left, arrives)| {
            let (left_from, into) = ((&from, left.lot_id.as_str()), (to, arrives.lot_id.as_str()));
            lot_part(&wallet, left_from, into, left.remaining)
        })
        .collect();
    let went = |(left, arrives): (&Lot, &Lot)| MovedLot {
        from_lot_id: left.lot_id.clone(),
        lot_id: arrives.lot_id.clone(),
        is_new: true,
        points: left.remaining,
        posting_id: String::new(),
    };
    let mut moved = Moved {
        points: leaving.lots.iter().map(|lot| lot.remaining).sum(),
        debt: leaving.debt,
        lots: leaving.lots.iter().zip(&arriving).map(went).collect(),
    };
    if leaving.debt > 0 {
        parts.push(debt_part(&from, &wallet, leaving.debt));
    }
    let brought = (arriving, leaving.debt);
    let (plan, repaid) = decide::arrive(receiving.holding(), own, brought, work.now())?;
    parts.extend(repaid.into_iter().map(|repaid| PartRow {
        kind: "repaid".to_owned(),
        wallet: wallet.clone(),
        customer_id: to.to_string(),
        lot_id: Some(repaid.lot_id),
        to_customer_id: None,
        to_lot_id: None,
        points: repaid.points,
        received_by: None,
    }));
    let origin = |counterparty: &CustomerId| Origin {
        actor: caller(&merge.actor),
        reason: merge.reason.clone(),
        counterparty: Some(counterparty.clone()),
        ..Origin::default()
    };
    let left = Change {
        program,
        standing,
        plan: leaving.plan,
        origin: origin(to),
    };
    let arrived = Change {
        program,
        standing: receiving,
        plan,
        origin: origin(&from),
    };
    for (customer_id, change) in [(&from, left), (to, arrived)] {
        let mut lock = lock_of(work, customer_id).await?;
        let written = write::write(state, work, &mut lock, change).await?;
        work.settle(&lock);
        // Last that of who received.
        for lot in &mut moved.lots {
            lot.posting_id.clone_from(&written.posting.posting_id);
        }
    }
    merge_parts::insert(work.direct(), merge, &parts).await?;
    Ok(moved)
}
