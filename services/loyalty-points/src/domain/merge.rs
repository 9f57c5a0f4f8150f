//! Merges: all that a member has goes to another one, and what is left of it comes back when the merge is undone.
//!
//! Invariants: what leaves one ledger by way of clearing arrives in the other's; a merge undone at once leaves both as
//! they were; nothing is created or lost over both, whatever happened between.

use std::collections::BTreeSet;

use common::time::Timestamp;

use super::POINTS_PER_MEMBER_MAX;
use super::lots::{Lot, State};
use super::plan::{self, Account, Entry, Holding, Kind, Plan, Posting, Refused};

/// What leaves a member.
#[derive(Debug)]
pub struct Leaving {
    /// In the member's ledger.
    pub plan: Plan,
    /// The lots with so much left as leaves them.
    pub lots: Vec<Lot>,
    /// Debt.
    pub debt: i64,
}

/// Takes out all that a member has left and owes; what is held stays. `lots` are all lots with points left or held,
/// of which none has expired. `None`: there is nothing.
pub fn leave(holding: Holding, lots: Vec<Lot>, now: Timestamp) -> Option<Leaving> {
    let debt = holding.debt;
    let (mut entries, mut changed, mut leaving, mut taken) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    if debt > 0 {
        entries.push(plan::entry(Account::Debt, debt));
    }
    let points: i64 = lots.iter().map(|lot| lot.remaining).sum();
    push_clearing(&mut entries, points - debt);
    for mut lot in lots.into_iter().filter(|lot| lot.remaining > 0) {
        leaving.push(lot.clone());
        entries.push(plan::lot_entry(&lot.lot_id, -lot.remaining));
        taken.push(lot.allocation(lot.remaining));
        lot.consumed += std::mem::take(&mut lot.remaining);
        changed.push(lot);
    }
    if entries.is_empty() {
        return None;
    }
    let after = Holding {
        points: holding.points - points,
        debt: 0,
        ..holding
    };
    Some(Leaving {
        plan: Plan {
            changed,
            taken,
            ..plan_of(Kind::Merge, entries, (after, now))
        },
        lots: leaving,
        debt,
    })
}

/// The lots that arrive, in the order of those that left: spendable from and until the same instants. They do not
/// count for the tier: those that they came from do.
pub fn arriving(leaving: &[Lot], mut lot_id: impl FnMut() -> String) -> Vec<Lot> {
    let arrive = |lot: &Lot| fresh(lot, lot.remaining, lot_id());
    leaving.iter().map(arrive).collect()
}

/// What of a lot has repaid debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaid {
    /// The lot.
    pub lot_id: String,
    /// How many points.
    pub points: i64,
}

/// Takes in what another member had. What is owed then is repaid in the order of spending, from points that can be
/// spent first. `lots` are all lots with points left or held, of which none has expired.
pub fn arrive(
    holding: Holding,
    lots: Vec<Lot>,
    (arriving, debt): (Vec<Lot>, i64),
    now: Timestamp,
) -> Result<(Plan, Vec<Repaid>), Refused> {
    let points: i64 = arriving.iter().map(|lot| lot.remaining).sum();
    if holding.points + holding.held + points > POINTS_PER_MEMBER_MAX {
        return Err(Refused::TooManyPoints);
    }
    let mut entries = Vec::new();
    if debt > 0 {
        entries.push(plan::entry(Account::Debt, -debt));
    }
    push_clearing(&mut entries, debt - points);
    for lot in &arriving {
        entries.push(plan::lot_entry(&lot.lot_id, lot.remaining));
    }
    let new: BTreeSet<_> = arriving.iter().map(|lot| lot.lot_id.clone()).collect();
    let before = lots.clone();
    let mut all = lots;
    all.extend(arriving);
    let mut owed = holding.debt + debt;
    let repaid = repay(&mut all, &mut owed, &mut entries, now);
    let (created, own): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|lot| new.contains(&lot.lot_id));
    let after = Holding {
        points: holding.points + points - sum(&repaid),
        debt: owed,
        ..holding
    };
    let plan = Plan {
        created,
        changed: plan::changed(&before, own),
        ..plan_of(Kind::Merge, entries, (after, now))
    };
    Ok((plan, repaid))
}

/// What a merge left with a member.
#[derive(Debug, Default)]
pub struct Taken {
    /// Lots that what left has become.
    pub lots: BTreeSet<String>,
    /// What repaid debt when it arrived.
    pub repaid: Vec<Repaid>,
    /// Debt that came along.
    pub debt: i64,
}

/// What a member gives back.
#[derive(Debug)]
pub struct Given {
    /// In the member's ledger.
    pub plan: Plan,
    /// The lots, with so much left as is given back.
    pub lots: Vec<Lot>,
    /// Debt.
    pub debt: i64,
}

/// Gives back what is left of what a merge brought: what it repaid at once is owed again, and the points are again
/// where they were; then all that its lots have left goes, unless they have expired, and as much of its debt as is
/// still owed. What is owed then is repaid as ever. Points that were cancelled since cannot be where they were: what they
/// repaid was owed again when they were. `lots` are those named and all with points left or held. `None`: there is
/// nothing.
///
/// # Panics
/// If a lot that is named is not among the lots.
pub fn give(holding: Holding, mut lots: Vec<Lot>, taken: &Taken, now: Timestamp) -> Option<Given> {
    let before = lots.clone();
    let (mut entries, mut given) = (Vec::new(), Vec::new());
    let mut undone = 0;
    for repaid in &taken.repaid {
        let lot = lots.iter_mut().find(|lot| lot.lot_id == repaid.lot_id);
        let lot = lot.expect("the lots that repaid were read with the others");
        if lot.cancelled_at.is_some() {
            continue;
        }
        lot.consumed -= repaid.points;
        lot.remaining += repaid.points;
        undone += repaid.points;
        entries.push(plan::lot_entry(&lot.lot_id, repaid.points));
    }
    if undone > 0 {
        entries.push(plan::entry(Account::Debt, -undone));
    }
    let mut owed = holding.debt + undone;
    let debt = taken.debt.min(owed);
    owed -= debt;
    if debt > 0 {
        entries.push(plan::entry(Account::Debt, debt));
    }
    let goes = |lot: &&mut Lot| {
        lot.remaining > 0 && !lot.has_expired(now) && taken.lots.contains(&lot.lot_id)
    };
    let mut leaves = Vec::new();
    for lot in lots.iter_mut().filter(goes) {
        given.push(lot.clone());
        leaves.push(plan::lot_entry(&lot.lot_id, -lot.remaining));
        lot.consumed += std::mem::take(&mut lot.remaining);
    }
    let points: i64 = given.iter().map(|lot| lot.remaining).sum();
    push_clearing(&mut entries, points - debt);
    entries.extend(leaves);
    if entries.is_empty() {
        return None;
    }
    let repaid = repay(&mut lots, &mut owed, &mut entries, now);
    let expiry = plan::write_off(&mut lots, now);
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    let after = Holding {
        points: holding.points + undone - points - sum(&repaid) - written_off,
        debt: owed,
        ..holding
    };
    Some(Given {
        plan: Plan {
            expiry: expiry.map(|(posting, _)| posting),
            changed: plan::changed(&before, lots),
            ..plan_of(Kind::Unmerge, entries, (after, now))
        },
        lots: given,
        debt,
    })
}

/// One lot that comes back.
#[derive(Debug, Clone)]
pub struct Back {
    /// The lot that it left from.
    pub lot_id: String,
    /// The lot that it comes from, with so much left as comes back.
    pub from: Lot,
}

/// Takes back what another member gives back: into the lots that it left from. Where what it came from can be spent
/// from or until another instant by now, it goes into a new lot that keeps to those; so it does where the one that it
/// left from is cancelled: what repaid debt on arrival and is owed again. Tells the lot that each went into, too. `lots`
/// are the lots named and all with points left or held.
///
/// # Panics
/// If a lot that is named is not among the lots.
pub fn take_back(
    holding: Holding,
    mut lots: Vec<Lot>,
    (backs, debt): (Vec<Back>, i64),
    mut lot_id: impl FnMut() -> String,
    now: Timestamp,
) -> Result<(Plan, Vec<String>), Refused> {
    let points: i64 = backs.iter().map(|back| back.from.remaining).sum();
    if holding.points + holding.held + points > POINTS_PER_MEMBER_MAX {
        return Err(Refused::TooManyPoints);
    }
    let before = lots.clone();
    let (mut entries, mut new, mut into) = (Vec::new(), BTreeSet::new(), Vec::new());
    if debt > 0 {
        entries.push(plan::entry(Account::Debt, -debt));
    }
    push_clearing(&mut entries, debt - points);
    for Back { lot_id: id, from } in backs {
        let lot = lots.iter_mut().find(|lot| lot.lot_id == id);
        let lot = lot.expect("the lots that were left were read with the others");
        let is_as_before =
            (lot.activates_at, lot.expires_at) == (from.activates_at, from.expires_at);
        if is_as_before && lot.cancelled_at.is_none() {
            lot.consumed -= from.remaining;
            lot.remaining += from.remaining;
            entries.push(plan::lot_entry(&id, from.remaining));
            into.push(id);
        } else {
            let again = fresh(&from, from.remaining, lot_id());
            entries.push(plan::lot_entry(&again.lot_id, again.original));
            new.insert(again.lot_id.clone());
            into.push(again.lot_id.clone());
            lots.push(again);
        }
    }
    let mut owed = holding.debt + debt;
    let repaid = repay(&mut lots, &mut owed, &mut entries, now);
    let (created, own): (Vec<_>, Vec<_>) =
        lots.into_iter().partition(|lot| new.contains(&lot.lot_id));
    let after = Holding {
        points: holding.points + points - sum(&repaid),
        debt: owed,
        ..holding
    };
    let plan = Plan {
        created,
        changed: plan::changed(&before, own),
        ..plan_of(Kind::Unmerge, entries, (after, now))
    };
    Ok((plan, into))
}

/// Repays what is owed from lots that have not expired: those that can be spent first.
fn repay(
    lots: &mut [Lot],
    owed: &mut i64,
    entries: &mut Vec<Entry>,
    now: Timestamp,
) -> Vec<Repaid> {
    let order = |lot: &Lot| {
        (
            lot.state(now) != State::Active,
            lot.spending_order().0,
            lot.earned_at,
            lot.lot_id.clone(),
        )
    };
    let mut repaid = Vec::new();
    lots.sort_by_cached_key(order);
    for lot in lots.iter_mut().filter(|lot| !lot.has_expired(now)) {
        let lines = plan::repay(lot, owed);
        if let Some(points) = lines.last().map(|line| line.points) {
            entries.extend(lines);
            repaid.push(Repaid {
                lot_id: lot.lot_id.clone(),
                points,
            });
        }
    }
    repaid
}

/// A lot of points that were in another one.
fn fresh(of: &Lot, points: i64, lot_id: String) -> Lot {
    Lot {
        lot_id,
        original: points,
        remaining: points,
        held: 0,
        consumed: 0,
        expired: 0,
        reversed: 0,
        qualifying: 0,
        ..of.clone()
    }
}

/// Points that leave by way of clearing; negative: that arrive.
fn push_clearing(entries: &mut Vec<Entry>, points: i64) {
    if points != 0 {
        entries.push(plan::entry(Account::Clearing, points));
    }
}

fn sum(repaid: &[Repaid]) -> i64 {
    repaid.iter().map(|repaid| repaid.points).sum()
}

fn plan_of(kind: Kind, entries: Vec<Entry>, (after, now): (Holding, Timestamp)) -> Plan {
    Plan {
        posting: Posting {
            kind,
            entries,
            occurred_at: now,
        },
        expiry: None,
        created: Vec::new(),
        changed: Vec::new(),
        taken: Vec::new(),
        after,
    }
}

#[cfg(test)]
mod tests;
