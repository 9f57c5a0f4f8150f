//! Refunds: what was spent returns to the lots it came from.
//!
//! Invariant: in whatever parts a spending is refunded, no lot gets back more than was taken from it, and a full
//! refund gives back exactly that.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::POINTS_PER_MEMBER_MAX;
use super::lots::{Allocation, Lot};
use super::plan::{self, Account, Entry, Holding, Kind, Plan, Posting};
use super::reversal::{Extent, Refused};

/// What a spending took from one lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The lot.
    pub lot_id: String,
    /// How many points.
    pub points: i64,
    /// How many of them were refunded before.
    pub refunded: i64,
}

/// What becomes of points whose lot has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// They expire at once.
    Expire,
    /// They go into a new lot that can be spent for so long.
    Grace(TimeDelta),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// The lots with the points that returned to them.
    pub restored: Vec<Allocation>,
    /// Points among those that expired at once.
    pub expired: i64,
}

/// What can still be refunded.
pub fn left_of(spent: &[Spent]) -> i64 {
    spent
        .iter()
        .map(|spent| spent.points - spent.refunded)
        .sum()
}

/// The points to refund now: for a returned part `floor(spent * returned / original)` less what was refunded before.
pub fn due(extent: Extent, spent: &[Spent]) -> Result<i64, Refused> {
    let reversible = left_of(spent);
    match extent {
        Extent::Whole => Ok(reversible),
        Extent::Points(points) if points.get() > reversible => {
            Err(Refused::Exceeded { reversible })
        }
        Extent::Points(points) => Ok(points.get()),
        Extent::Returned { original, returned } => {
            let total: i64 = spent.iter().map(|spent| spent.points).sum();
            let share = i128::from(total) * i128::from(returned) / i128::from(original);
            let target = i64::try_from(share).unwrap_or(total);
            match target - (total - reversible) {
                ..=0 => Err(Refused::Nothing),
                points => Ok(points),
            }
        }
    }
}

/// Which lots so many points return to: what was taken last returns first, as if less had been spent.
pub fn parts(spent: Vec<Spent>, points: i64) -> Vec<(String, i64)> {
    let mut missing = points;
    let mut parts = Vec::new();
    for spent in spent.into_iter().rev() {
        let of_lot = missing.min(spent.points - spent.refunded);
        if of_lot > 0 {
            missing -= of_lot;
            parts.push((spent.lot_id, of_lot));
        }
    }
    parts
}

/// Returns points to lots; debt is repaid from those that can be spent. `lots` are those lots and all with points
/// left; `late` says what becomes of points of expired ones, with ids for the lots that it makes.
///
/// # Panics
/// If a lot to return points to is not among the lots.
pub fn refund(
    holding: Holding,
    mut lots: Vec<Lot>,
    parts: &[(String, i64)],
    (late, mut lot_id): (Late, impl FnMut() -> String),
    now: Timestamp,
) -> Result<(Plan, Refunded), plan::Refused> {
    let points: i64 = parts.iter().map(|(_, points)| points).sum();
    if holding.points + holding.held + points > POINTS_PER_MEMBER_MAX {
        return Err(plan::Refused::TooManyPoints);
    }
    let before = lots.clone();
    let mut entries = vec![plan::entry(Account::Redeemed, -points)];
    let (mut created, mut restored) = (Vec::new(), Vec::new());
    let (mut expired, mut debt) = (0, holding.debt);
    for (id, points) in parts {
        let lot = lots.iter_mut().find(|lot| lot.lot_id == *id);
        let lot = lot.expect("the lots that were spent from were read with the others");
        entries.push(plan::lot_entry(id, *points));
        if let Some(mut again) = again(lot, *points, late, now) {
            again.lot_id = lot_id();
            entries.extend(moved(lot, &again));
            restored.push(again.allocation(*points));
            entries.extend(plan::repay(&mut again, &mut debt));
            created.push(again);
        } else {
            lot.consumed -= points;
            lot.remaining += points;
            restored.push(lot.allocation(*points));
            if lot.has_expired(now) {
                expired += points;
            } else {
                entries.extend(plan::repay(lot, &mut debt));
            }
        }
    }
    let expiry = plan::write_off(&mut lots, now);
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    let plan = Plan {
        posting: Posting {
            kind: Kind::Refund,
            entries,
            occurred_at: now,
        },
        expiry: expiry.map(|(posting, _)| posting),
        created,
        changed: plan::changed(&before, lots),
        taken: Vec::new(),
        after: Holding {
            points: holding.points + points - (holding.debt - debt) - written_off,
            debt,
            ..holding
        },
    };
    Ok((plan, Refunded { restored, expired }))
}

/// The lot, still without an id, of points that do not return to their own: that one has expired and there is grace, or it
/// was called off and takes none any more. It does not count for the tier: the other one did. Points of what was called off
/// were made up for, so they wait for no event any more.
fn again(lot: &Lot, points: i64, late: Late, now: Timestamp) -> Option<Lot> {
    let (has_expired, is_called_off) = (lot.has_expired(now), lot.cancelled_at.is_some());
    let expires_at = match late {
        Late::Grace(grace) if has_expired => Some(now + grace),
        Late::Expire | Late::Grace(_) if is_called_off && !has_expired => lot.expires_at,
        Late::Expire | Late::Grace(_) => return None,
    };
    Some(Lot {
        lot_id: String::new(),
        original: points,
        remaining: points,
        held: 0,
        consumed: 0,
        expired: 0,
        reversed: 0,
        qualifying: 0,
        activates_at: if is_called_off {
            Some(now)
        } else {
            lot.activates_at
        },
        expires_at,
        cancelled_at: None,
        ..lot.clone()
    })
}

/// The points have returned to their lot, which tells of the refund, and go on from there at once.
fn moved(from: &Lot, to: &Lot) -> [Entry; 2] {
    [
        plan::lot_entry(&from.lot_id, -to.original),
        plan::lot_entry(&to.lot_id, to.original),
    ]
}

#[cfg(test)]
mod tests;
