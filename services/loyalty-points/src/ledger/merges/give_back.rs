//! Undoing a merge: what is left of what it brought goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::ids::CustomerId;

use super::feed::caller;
use super::parts::{amounts, debt_part, lot_part, repaid};
use super::pass::{pass_on, pass_on_earned, renew};
use super::{
    After, Amounts, Moved, MovedLot, Passed, Passing, UnmergeMembers, after, find, find_account,
    lock_of, lock_on, tidy,
};
use crate::State;
use crate::domain::currency::Wallet;
use crate::domain::lots::Lot;
use crate::domain::merge::{self as decide, Back, Taken};
use crate::domain::program::Program;
use crate::error::Error;
use crate::events;
use crate::grpc::present;
use crate::ledger::{Change, Origin, write};
use crate::store::accounts::AccountKey;
use crate::store::members::Standing;
use crate::store::merge_parts;
use crate::store::merges::{self, MergeRow};
use crate::store::refunds;
use crate::tiers::Cause;
use crate::work::{Needs, Work};

/// A merge that was undone.
#[derive(Debug)]
pub struct Unmerged {
    /// The merge.
    pub merge: MergeRow,
    /// The program.
    pub program: Arc<Program>,
    /// What went to the survivor, over all the time.
    pub moved: Amounts,
    /// What came back. The rest of the points was spent or has expired, the rest of the debt was repaid.
    pub returned: Amounts,
    /// What went on from a survivor who was merged in turn, before anything came back.
    pub before: Vec<Passed>,
    /// The same, after.
    pub afterwards: Vec<Passed>,
    /// Who stands for such a survivor.
    pub standing: Option<CustomerId>,
    /// The survivor.
    pub survivor: After,
    /// The other one.
    pub absorbed: After,
}

impl Unmerged {
    /// What went on from a survivor who was merged in turn, and the revisions of members after it all.
    pub async fn passing(&mut self, work: &mut Work<'_>) -> Result<Option<Passing>, Error> {
        let Some(standing) = self.standing.take() else {
            return Ok(None);
        };
        let mut steps = std::mem::take(&mut self.before);
        steps.append(&mut self.afterwards);
        let passing = Passing::of(work, Arc::clone(&self.program), (standing, steps));
        passing.await.map(Some)
    }
}

/// Undoes a merge for a caller.
pub async fn unmerge(
    state: &State,
    work: &mut Work<'_>,
    request: UnmergeMembers,
) -> Result<Unmerged, Error> {
    let program = state.programs.get(work.tx(), &request.program_id).await?;
    let name = program.program_id.as_str();
    let not_found = || Error::MergeNotFound(request.merge_id.clone());
    let merge = merges::find(work.tx(), name, &request.merge_id).await?;
    let merge = merge.ok_or_else(not_found)?;
    let needs = Needs {
        customers: vec![merge.survivor.clone(), merge.absorbed.clone()],
        sources: Vec::new(),
    };
    work.read(&needs).await?;
    // Read again: only what is seen under the locks counts.
    let merge = merges::find(work.tx(), name, &request.merge_id).await?;
    let merge = merge.ok_or_else(not_found)?;
    if merge.unmerged_at.is_some() {
        return Err(Error::MergeAlreadyUndone(request.merge_id));
    }
    // Time may go on until whoever stands for the survivor is locked.
    lock_on(work, &program, &merge.survivor).await?;
    let undone = MergeRow {
        unmerged_at: Some(work.now().max(merge.merged_at)),
        unmerge_actor: Some(request.actor),
        unmerge_reason: Some(request.reason),
        ..merge
    };
    Box::pin(undo(state, work, &program, undone)).await
}

/// Undoes a merge that stands; `merge` is as it is afterwards.
pub(super) async fn undo(
    state: &State,
    work: &mut Work<'_>,
    program: &Arc<Program>,
    merge: MergeRow,
) -> Result<Unmerged, Error> {
    let (survivor, absorbed) = (merge.survivor.clone(), merge.absorbed.clone());
    let needs = Needs {
        customers: vec![survivor.clone(), absorbed.clone()],
        sources: Vec::new(),
    };
    work.read(&needs).await?;
    lock_on(work, program, &survivor).await?;
    // What timed out meanwhile goes along with the rest first.
    let standing = find(work, program, &absorbed).await?;
    let mut lock = lock_of(work, &absorbed).await?;
    tidy(state, work, &mut lock, program, standing).await?;
    let mut passed = pass_on_earned(state, work, program, &absorbed, Cause::Usual).await?;

    work.flush().await?;
    let parts = merge_parts::list(work.tx(), &merge).await?;
    let mut moved = amounts(&parts, &absorbed);
    mark_new(&mut moved, &passed);
    passed.retain(|step| step.from != absorbed);
    let origins = origins(work, program, &absorbed, (&merge.merge_id, "")).await?;
    let taking = find(work, program, &survivor).await?;
    let root = taking.member.survivor.unwrap_or_else(|| survivor.clone());
    let chain = chain(work, program, &survivor).await?;
    let mut holders = vec![survivor.clone()];
    holders.extend((root != survivor).then(|| root.clone()));
    let mut returned = Amounts::new();
    for holder in holders {
        for wallet in program.wallets() {
            let known = moved.get(&wallet).map_or(0, |moved| moved.debt);
            let so_far = returned.get(&wallet).map_or(0, |returned| returned.debt);
            let taken = Taken {
                lots: origins
                    .get(&holder)
                    .into_iter()
                    .flatten()
                    .map(|(lot_id, _)| lot_id.clone())
                    .collect(),
                repaid: repaid(&parts, &holder, &wallet),
                debt: known - so_far,
            };
            let way = Way {
                program,
                merge: &merge,
                wallet: &wallet,
                from: &holder,
                to: &absorbed,
                actor: merge.unmerge_actor.as_deref(),
                reason: merge.unmerge_reason.as_deref().unwrap_or_default(),
            };
            let given = back(state, work, way, (taken, origins.get(&holder))).await?;
            if holder != survivor && given.debt > 0 {
                for through in &chain {
                    let part = debt_part(&through.absorbed, &wallet, -given.debt);
                    merge_parts::insert(work.direct(), through, &[part]).await?;
                }
            }
            if given != Moved::default() {
                let sum = returned.entry(wallet).or_default();
                sum.points += given.points;
                sum.debt += given.debt;
                sum.lots.extend(given.lots);
            }
        }
    }

    work.forget(&absorbed).await?;
    merges::update(work.direct(), &merge).await?;
    merges::part(work.direct(), &merge).await?;
    work.forget_persons().await?;
    work.forget(&absorbed).await?;
    work.forget(&survivor).await?;
    renew(state, work, program, &absorbed, Cause::Usual).await?;
    renew(state, work, program, &root, Cause::Reversal).await?;
    // What was owed again may have been repaid again on the way.
    let afterwards = pass_on(state, work, program, &survivor).await?;
    for customer_id in [&absorbed, &survivor] {
        let mut lock = lock_of(work, customer_id).await?;
        let at = (customer_id, lock.next());
        let told = (
            present::moved(program, &moved),
            present::moved(program, &returned),
        );
        events::member_unmerged(work.tx(), at, &merge, told);
        work.settle(&lock);
    }
    Ok(Unmerged {
        program: Arc::clone(program),
        moved,
        returned,
        before: passed,
        afterwards,
        standing: (root != survivor).then_some(root),
        survivor: after(work, program, &survivor).await?,
        absorbed: after(work, program, &absorbed).await?,
        merge,
    })
}

/// Marks the lots that were made only now.
fn mark_new(moved: &mut Amounts, passed: &[Passed]) {
    let amounts = passed.iter().flat_map(|step| step.moved.values());
    let made = amounts.flat_map(|moved| &moved.lots);
    let made: BTreeSet<_> = made.map(|lot| &lot.lot_id).collect();
    for lot in moved.values_mut().flat_map(|moved| &mut moved.lots) {
        lot.is_new = made.contains(&lot.lot_id);
    }
}

/// Gets what is left of a merged member's lot back into it, for a decision about that lot. What is left of it then
/// has to be passed on again. Returns what came back.
pub async fn recall(
    state: &State,
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
    lot_id: &str,
) -> Result<Option<Passed>, Error> {
    let standing = find(work, program, customer_id).await?;
    let Some(root) = standing.member.survivor else {
        return Ok(None);
    };
    work.flush().await?;
    let mut origins = origins(work, program, customer_id, ("", lot_id)).await?;
    let Some(held) = origins.remove(&root) else {
        return Ok(None);
    };
    let merge = merges::get_standing(work.tx(), program.program_id.as_str(), customer_id).await?;
    let mut came = Amounts::new();
    for wallet in program.wallets() {
        let taken = Taken {
            lots: held.keys().cloned().collect(),
            ..Taken::default()
        };
        let way = Way {
            program,
            merge: &merge,
            wallet: &wallet,
            from: &root,
            to: customer_id,
            actor: None,
            reason: "recalled to be taken back",
        };
        let moved = Box::pin(back(state, work, way, (taken, Some(&held)))).await?;
        if moved != Moved::default() {
            came.insert(wallet, moved);
        }
    }
    Ok((!came.is_empty()).then(|| Passed {
        from: root.clone(),
        to: customer_id.clone(),
        moved: came,
    }))
}

/// The lots into which a member's have gone, by holder, each with the one that it left from.
type Origins = BTreeMap<CustomerId, BTreeMap<String, String>>;

async fn origins(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
    by: (&str, &str),
) -> Result<Origins, Error> {
    let name = program.program_id.as_str();
    let mut origins = Origins::new();
    for lot in merge_parts::list_descent(work.tx(), name, customer_id, by).await? {
        let of_holder = origins.entry(lot.customer_id).or_default();
        of_holder.insert(lot.lot_id, lot.origin);
    }
    Ok(origins)
}

/// From whom to whom.
#[derive(Clone, Copy)]
struct Way<'a> {
    program: &'a Program,
    /// By which it had gone the other way.
    merge: &'a MergeRow,
    wallet: &'a Wallet,
    from: &'a CustomerId,
    to: &'a CustomerId,
    actor: Option<&'a str>,
    reason: &'a str,
}

/// One member gives back to another in one currency; `origins` are the lots that the given ones left from.
async fn back(
    state: &State,
    work: &mut Work<'_>,
    way: Way<'_>,
    (mut taken, origins): (Taken, Option<&BTreeMap<String, String>>),
) -> Result<Moved, Error> {
    let Way {
        program,
        wallet,
        from,
        to,
        ..
    } = way;
    let mut lock = lock_of(work, from).await?;
    let standing = find(work, program, from).await?;
    tidy(state, work, &mut lock, program, standing).await?;
    let standing = find_account(work, program, from, wallet).await?;
    let repaid = taken.repaid.iter().map(|repaid| repaid.lot_id.as_str());
    let named: BTreeSet<_> = repaid
        .chain(taken.lots.iter().map(String::as_str))
        .collect();
    let lots = lots(work, &standing, &named).await?;
    taken
        .lots
        .retain(|lot_id| lots.iter().any(|lot| lot.lot_id == *lot_id));
    let now = work.now();
    let Some(given) = decide::give(standing.holding(), lots, &taken, now) else {
        return Ok(Moved::default());
    };
    let origin = |counterparty: &CustomerId| Origin {
        actor: way.actor.and_then(caller),
        reason: way.reason.to_owned(),
        counterparty: Some(counterparty.clone()),
        ..Origin::default()
    };
    let change = Change {
        program,
        standing,
        plan: given.plan,
        origin: origin(to),
    };
    write::write(state, work, &mut lock, change).await?;
    work.settle(&lock);
    let gone = |lot: &Lot| MovedLot {
        from_lot_id: lot.lot_id.clone(),
        lot_id: String::new(),
        is_new: false,
        points: lot.remaining,
        posting_id: String::new(),
    };
    let mut moved = Moved {
        points: given.lots.iter().map(|lot| lot.remaining).sum(),
        debt: given.debt,
        lots: given.lots.iter().map(gone).collect(),
    };
    if moved == Moved::default() {
        return Ok(moved);
    }
    let backs: Vec<_> = given
        .lots
        .into_iter()
        .map(|from| Back {
            lot_id: origin_of(origins, &from),
            from,
        })
        .collect();
    let mut lock = lock_of(work, to).await?;
    let standing = find_account(work, program, to, wallet).await?;
    let named = backs.iter().map(|back| back.lot_id.as_str()).collect();
    let lots = self::lots(work, &standing, &named).await?;
    let ids = || state.platform.ids.uuid();
    let came = (backs, moved.debt);
    let (plan, into) = decide::take_back(standing.holding(), lots, came, ids, now)?;
    for (lot, lot_id) in moved.lots.iter_mut().zip(into) {
        lot.is_new = plan.created.iter().any(|new| new.lot_id == lot_id);
        lot.lot_id = lot_id;
    }
    let change = Change {
        program,
        standing,
        plan,
        origin: origin(from),
    };
    let written = write::write(state, work, &mut lock, change).await?;
    work.settle(&lock);
    for lot in &mut moved.lots {
        lot.posting_id.clone_from(&written.posting.posting_id);
    }
    // What comes back as a new lot stays of the same earning, wherever it goes on to.
    let again = moved.lots.iter().filter(|lot| lot.is_new).map(|lot| {
        let (left, into) = ((from, lot.from_lot_id.as_str()), (to, lot.lot_id.as_str()));
        lot_part(wallet, left, into, lot.points)
    });
    let again: Vec<_> = again.collect();
    merge_parts::insert(work.direct(), way.merge, &again).await?;
    Ok(moved)
}

fn origin_of(origins: Option<&BTreeMap<String, String>>, lot: &Lot) -> String {
    let origin = origins.and_then(|origins| origins.get(&lot.lot_id));
    origin
        .expect("only lots with an origin are given back")
        .clone()
}

/// The lots of an account with points left or held, and those named.
async fn lots(
    work: &mut Work<'_>,
    of: &Standing,
    named: &BTreeSet<&str>,
) -> Result<Vec<Lot>, Error> {
    work.flush().await?;
    let named: Vec<_> = named.iter().copied().collect();
    let AccountKey {
        customer_id,
        program_id,
        wallet,
    } = of.key();
    let mut lots = refunds::list_lots(work.tx(), customer_id, program_id, &named).await?;
    lots.retain(|lot| lot.wallet == *wallet);
    Ok(lots)
}

/// The merges that lead on from a member.
async fn chain(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<Vec<MergeRow>, Error> {
    let (mut chain, mut at) = (Vec::new(), customer_id.clone());
    while find(work, program, &at).await?.member.survivor.is_some() {
        let merge = merges::get_standing(work.tx(), program.program_id.as_str(), &at).await?;
        at = merge.survivor.clone();
        chain.push(merge);
    }
    Ok(chain)
}
