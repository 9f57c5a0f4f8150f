//! Decides what becomes of an earning that is taken back.

use common::time::Timestamp;

use super::{Account, Holding, Kind, Plan, Posting, changed, entry, lot_entry, sum, write_off};
use crate::domain::lots::{self, Lot, State};
use crate::domain::reversal::{self, Part, Policy};

/// Takes part of an earning back: from what its lot has left, then from what of it has expired, then for what was
/// spent or is held the points of other lots, and the rest becomes debt. `lots` are the lot in question and all
/// lots with points left.
///
/// # Panics
/// If the lot in question is not among the lots.
pub fn reverse(
    holding: Holding,
    mut lots: Vec<Lot>,
    part: &Part,
    now: Timestamp,
) -> Result<Plan, reversal::Refused> {
    let before = lots.clone();
    let expiry = write_off(&mut lots, now);
    let lot = lots.iter_mut().find(|lot| lot.lot_id == part.lot_id);
    let lot = lot.expect("the lot of the earning was read with the others");
    let is_pending = lot.state(now) == State::Pending;
    let left = part.points.min(lot.remaining);
    let expired = (part.points - left).min(lot.expired);
    let spent = part.points - left - expired;
    let mut entries = Vec::new();
    if part.points > 0 {
        entries.push(entry(Account::Issuance, part.points));
    }
    if left > 0 {
        entries.push(lot_entry(&lot.lot_id, -left));
    }
    if expired > 0 {
        entries.push(entry(Account::Expired, -expired));
    }
    lot.reversed += left + expired;
    lot.remaining -= left;
    lot.expired -= expired;
    lot.qualifying = if part.points == part.before.left_of(lot) {
        0
    } else {
        (lot.qualifying - part.points).max(0)
    };

    let mut taken = lots::take(&mut lots, spent, State::Active, now);
    let missing = spent - sum(&taken);
    taken.extend(lots::take(&mut lots, missing, State::Pending, now));
    let recovered = sum(&taken);
    let owed = spent - recovered;
    let refused = match part.policy {
        Policy::PendingOnly if !is_pending => Some(0),
        Policy::PendingOnly if expired + spent > 0 => Some(left),
        Policy::WithinBalance if owed > 0 => Some(part.points - owed),
        Policy::PendingOnly | Policy::WithinBalance | Policy::AllowDebt => None,
    };
    if let Some(reversible) = refused {
        return Err(reversal::Refused::NotCovered { reversible });
    }
    entries.extend(taken.iter().map(|a| lot_entry(&a.lot_id, -a.points)));
    if owed > 0 {
        entries.push(entry(Account::Debt, -owed));
    }
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    Ok(Plan {
        posting: Posting {
            kind: Kind::Reverse,
            entries,
            occurred_at: now,
        },
        expiry: expiry.map(|(posting, _)| posting),
        created: Vec::new(),
        changed: changed(&before, lots),
        taken,
        after: Holding {
            points: holding.points - left - recovered - written_off,
            debt: holding.debt + owed,
            ..holding
        },
    })
}
