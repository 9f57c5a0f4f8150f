//! Decides what a request does to a member's ledger: state in, postings and changed lots out.
//!
//! Invariants: the entries of every posting add up to zero; every lot keeps its own equation; what a
//! member owes and what a member can spend are never both above zero.

#[cfg(test)]
pub mod fixtures;
mod posting;
mod reverse;

use std::collections::HashMap;

use common::time::Timestamp;

use super::currency::Wallet;
use super::lots::{self, Allocation, Lot, State};
use super::{POINTS_PER_MEMBER_MAX, Points};

pub use posting::{Account, Entry, Kind, Posting};
pub use reverse::reverse;

/// What a member has in one currency: `points` are those left in lots, expired ones included until they are written off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// Points in lots.
    pub points: i64,
    /// Points of lots that are held.
    pub held: i64,
    /// Points owed.
    pub debt: i64,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The posting asked for.
    pub posting: Posting,
    /// A write-off of points that had expired, if there were any.
    pub expiry: Option<Posting>,
    /// New lots: of an earning, or received.
    pub created: Vec<Lot>,
    /// Lots that change.
    pub changed: Vec<Lot>,
    /// Points taken from lots: spent, or recovered by a reversal.
    pub taken: Vec<Allocation>,
    /// What the member holds afterwards.
    pub after: Holding,
}

/// Why nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Fewer points can be spent.
    Insufficient {
        /// So many.
        available: i64,
    },
    /// The member would hold more than anyone may.
    TooManyPoints,
}

/// An earning to post.
#[derive(Debug, Clone)]
pub struct Earn {
    /// Identifier for the lot.
    pub lot_id: String,
    /// In which currency.
    pub wallet: Wallet,
    /// How many points.
    pub points: Points,
    /// When they were earned.
    pub earned_at: Timestamp,
    /// From when on they can be spent; absent while they wait for an event.
    pub activates_at: Option<Timestamp>,
    /// From when on they no longer can.
    pub expires_at: Option<Timestamp>,
}

/// Makes a lot; debt is repaid from it first, unless it had expired before it was posted. Points that cannot be
/// spent yet repay debt too: should they be taken back, the debt returns.
pub fn earn(holding: Holding, earn: Earn, now: Timestamp) -> Result<Plan, Refused> {
    let points = earn.points.get();
    if holding.points + holding.held + points > POINTS_PER_MEMBER_MAX {
        return Err(Refused::TooManyPoints);
    }
    let mut lot = Lot {
        lot_id: earn.lot_id,
        original: points,
        remaining: points,
        held: 0,
        consumed: 0,
        expired: 0,
        reversed: 0,
        qualifying: if earn.wallet.is_first() { points } else { 0 },
        wallet: earn.wallet,
        earned_at: earn.earned_at,
        activates_at: earn.activates_at,
        expires_at: earn.expires_at,
        cancelled_at: None,
    };
    let mut entries = vec![
        entry(Account::Issuance, -points),
        lot_entry(&lot.lot_id, points),
    ];
    let mut debt = holding.debt;
    if !lot.has_expired(now) {
        entries.extend(repay(&mut lot, &mut debt));
    }
    let expiry = write_off(std::slice::from_mut(&mut lot), now).map(|(posting, _)| posting);
    Ok(Plan {
        posting: Posting {
            kind: Kind::Earn,
            entries,
            occurred_at: earn.earned_at,
        },
        expiry,
        after: Holding {
            points: holding.points + lot.remaining,
            debt,
            ..holding
        },
        created: vec![lot],
        changed: Vec::new(),
        taken: Vec::new(),
    })
}

/// An earning of which limits have left nothing. It is posted nevertheless, so that its source has had its turn.
pub fn earn_nothing(holding: Holding, earned_at: Timestamp) -> Plan {
    Plan {
        posting: Posting {
            kind: Kind::Earn,
            entries: Vec::new(),
            occurred_at: earned_at,
        },
        expiry: None,
        created: Vec::new(),
        changed: Vec::new(),
        taken: Vec::new(),
        after: holding,
    }
}

/// Spends points in the order of spending. `lots` are all lots with points left.
pub fn redeem(
    holding: Holding,
    mut lots: Vec<Lot>,
    points: Points,
    now: Timestamp,
) -> Result<Plan, Refused> {
    let points = points.get();
    let available = lots::available(&lots, now);
    if available < points {
        return Err(Refused::Insufficient { available });
    }
    let before = lots.clone();
    let expiry = write_off(&mut lots, now);
    let taken = lots::take(&mut lots, points, State::Active, now);
    let mut entries: Vec<_> = taken
        .iter()
        .map(|a| lot_entry(&a.lot_id, -a.points))
        .collect();
    entries.push(entry(Account::Redeemed, points));
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    Ok(Plan {
        posting: Posting {
            kind: Kind::Redeem,
            entries,
            occurred_at: now,
        },
        expiry: expiry.map(|(posting, _)| posting),
        created: Vec::new(),
        changed: changed(&before, lots),
        taken,
        after: Holding {
            points: holding.points - points - written_off,
            ..holding
        },
    })
}

/// Repays debt from what a lot has left, which has not expired.
pub(super) fn repay(lot: &mut Lot, debt: &mut i64) -> Vec<Entry> {
    let repaid = lot.remaining.min(*debt);
    if repaid == 0 {
        return Vec::new();
    }
    *debt -= repaid;
    lot.remaining -= repaid;
    lot.consumed += repaid;
    vec![
        lot_entry(&lot.lot_id, -repaid),
        entry(Account::Debt, repaid),
    ]
}

/// Writes off what expired lots have left, so that postings tell the same whenever they are made.
pub(super) fn write_off(lots: &mut [Lot], now: Timestamp) -> Option<(Posting, i64)> {
    let mut entries = Vec::new();
    let mut total = 0;
    for lot in lots
        .iter_mut()
        .filter(|lot| lot.remaining > 0 && lot.has_expired(now))
    {
        entries.push(lot_entry(&lot.lot_id, -lot.remaining));
        total += lot.remaining;
        lot.expired += lot.remaining;
        lot.remaining = 0;
    }
    if total == 0 {
        return None;
    }
    entries.push(entry(Account::Expired, total));
    Some((
        Posting {
            kind: Kind::Expire,
            entries,
            occurred_at: now,
        },
        total,
    ))
}

pub(super) fn changed(before: &[Lot], after: Vec<Lot>) -> Vec<Lot> {
    let before: HashMap<_, _> = before.iter().map(|lot| (&lot.lot_id, lot)).collect();
    after
        .into_iter()
        .filter(|lot| before.get(&lot.lot_id) != Some(&lot))
        .collect()
}

pub(super) fn sum(taken: &[Allocation]) -> i64 {
    taken.iter().map(|allocation| allocation.points).sum()
}

pub(super) fn entry(account: Account, points: i64) -> Entry {
    Entry {
        account,
        lot_id: None,
        hold_id: None,
        points,
    }
}

pub(super) fn lot_entry(lot_id: &str, points: i64) -> Entry {
    Entry {
        account: Account::Member,
        lot_id: Some(lot_id.to_owned()),
        hold_id: None,
        points,
    }
}

#[cfg(test)]
mod tests;
