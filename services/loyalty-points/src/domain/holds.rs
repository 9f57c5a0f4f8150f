//! Holds: points set aside from lots, to be captured or let go.
//!
//! Invariants: what a hold and what each of its pins held at first is held, captured or released; a closed
//! hold holds nothing; the lots have as much held as the pins of open holds say.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::Points;
use super::lots::Lot;
use super::plan::{self, Account, Entry, Holding, Kind, Plan, Posting};

/// What has become of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Points are held.
    Authorized,
    /// Captured whole, or in part by a final capture.
    Captured,
    /// Let go on request.
    Voided,
    /// Let go because it timed out.
    Expired,
}

/// What a hold has of one lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The lot.
    pub lot_id: String,
    /// Points held at first.
    pub points: i64,
    /// Points still held.
    pub held: i64,
    /// Points captured.
    pub captured: i64,
    /// Points let go.
    pub released: i64,
}

/// Points set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub hold_id: String,
    /// What has become of it; `at` tells for an instant.
    pub state: State,
    /// When it was authorised.
    pub created_at: Timestamp,
    /// From when on it can no longer be captured or voided.
    pub expires_at: Timestamp,
    /// When it reached the state in which it stays.
    pub closed_at: Option<Timestamp>,
    /// What it has of which lots.
    pub pins: Vec<Pin>,
}

/// Why a hold is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was captured before.
    Captured,
    /// It was voided before.
    Voided,
    /// It timed out.
    Expired,
    /// Less is held.
    Exceeded {
        /// So much.
        held: i64,
    },
}

impl Hold {
    /// Points held at first.
    pub fn points(&self) -> i64 {
        self.pins.iter().map(|pin| pin.points).sum()
    }

    /// Points still held.
    pub fn held(&self) -> i64 {
        self.pins.iter().map(|pin| pin.held).sum()
    }

    /// Points captured.
    pub fn captured(&self) -> i64 {
        self.pins.iter().map(|pin| pin.captured).sum()
    }

    /// Points let go.
    pub fn released(&self) -> i64 {
        self.pins.iter().map(|pin| pin.released).sum()
    }

    /// Whether it is timed out at an instant without being closed.
    pub fn has_timed_out(&self, as_of: Timestamp) -> bool {
        self.state == State::Authorized && self.expires_at <= as_of
    }

    /// The hold as it is at an instant: whether anything has noticed that it timed out makes no difference.
    #[must_use]
    pub fn at(self, as_of: Timestamp) -> Self {
        let expires_at = self.expires_at;
        if self.has_timed_out(as_of) {
            self.closed(State::Expired, expires_at)
        } else {
            self
        }
    }

    /// Lets go what is held and stays in a state for ever.
    fn closed(mut self, state: State, at: Timestamp) -> Self {
        for pin in &mut self.pins {
            pin.released += std::mem::take(&mut pin.held);
        }
        self.state = state;
        self.closed_at = Some(at);
        self
    }

    /// Refuses a hold that can no longer be captured or voided.
    pub fn check_open(&self, now: Timestamp) -> Result<(), Refused> {
        match self.state {
            State::Authorized if self.has_timed_out(now) => Err(Refused::Expired),
            State::Authorized => Ok(()),
            State::Captured => Err(Refused::Captured),
            State::Voided => Err(Refused::Voided),
            State::Expired => Err(Refused::Expired),
        }
    }
}

/// A hold to make.
#[derive(Debug, Clone)]
pub struct Authorize {
    /// Identifier for it.
    pub hold_id: String,
    /// How many points.
    pub points: Points,
    /// For how long; above zero.
    pub timeout: TimeDelta,
}

/// Pins points in the order of spending. `lots` are all lots with points left.
pub fn authorize(
    holding: Holding,
    lots: Vec<Lot>,
    hold: Authorize,
    now: Timestamp,
) -> Result<(Plan, Hold), plan::Refused> {
    let mut plan = plan::redeem(holding, lots, hold.points, now)?;
    let Posting { kind, entries, .. } = &mut plan.posting;
    *kind = Kind::Hold;
    // Decided like a redemption: only where the points go differs.
    entries.pop();
    let mut pins = Vec::with_capacity(plan.taken.len());
    for allocation in &plan.taken {
        let lot = find(&mut plan.changed, &allocation.lot_id);
        lot.consumed -= allocation.points;
        lot.held += allocation.points;
        entries.push(held_entry(
            &hold.hold_id,
            &allocation.lot_id,
            allocation.points,
        ));
        pins.push(Pin {
            lot_id: allocation.lot_id.clone(),
            points: allocation.points,
            held: allocation.points,
            captured: 0,
            released: 0,
        });
    }
    pins.sort_by(|a: &Pin, b| a.lot_id.cmp(&b.lot_id));
    plan.after.held += hold.points.get();
    let hold = Hold {
        hold_id: hold.hold_id,
        state: State::Authorized,
        created_at: now,
        expires_at: now + hold.timeout,
        closed_at: None,
        pins,
    };
    Ok((plan, hold))
}

/// Spends held points, in the order of spending. `lots` are all lots with points left or held.
pub fn capture(
    holding: Holding,
    mut lots: Vec<Lot>,
    mut hold: Hold,
    points: Points,
    now: Timestamp,
) -> Result<(Plan, Hold), Refused> {
    hold.check_open(now)?;
    let (points, held) = (points.get(), hold.held());
    if points > held {
        return Err(Refused::Exceeded { held });
    }
    let before = lots.clone();
    let expiry = plan::write_off(&mut lots, now);
    let (mut entries, mut taken, mut missing) = (Vec::new(), Vec::new(), points);
    for (lot, pin) in pinned(&mut lots, &mut hold.pins) {
        let of_lot = missing.min(pin.held);
        if of_lot == 0 {
            continue;
        }
        missing -= of_lot;
        pin.held -= of_lot;
        pin.captured += of_lot;
        lot.held -= of_lot;
        lot.consumed += of_lot;
        entries.push(held_entry(&hold.hold_id, &lot.lot_id, -of_lot));
        taken.push(lot.allocation(of_lot));
    }
    entries.push(plan::entry(Account::Redeemed, points));
    if points == held {
        hold = hold.closed(State::Captured, now);
    }
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    let plan = Plan {
        posting: Posting {
            kind: Kind::Capture,
            entries,
            occurred_at: now,
        },
        expiry: expiry.map(|(posting, _)| posting),
        created: Vec::new(),
        changed: plan::changed(&before, lots),
        taken,
        after: Holding {
            points: holding.points - written_off,
            held: holding.held - points,
            ..holding
        },
    };
    Ok((plan, hold))
}

/// How a hold ends.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// The state in which it stays.
    pub state: State,
    /// When; for one that timed out the instant at which it did.
    pub at: Timestamp,
}

/// Lets go what an open hold has left: debt is repaid from it first, and points of lots that have expired
/// expire at once. `lots` are all lots with points left or held.
pub fn release(
    holding: Holding,
    mut lots: Vec<Lot>,
    mut hold: Hold,
    ending: Ending,
) -> (Plan, Hold) {
    let before = lots.clone();
    let (points, mut debt) = (hold.held(), holding.debt);
    let entries = let_go(&mut lots, &mut hold, &mut debt, ending.at);
    let expiry = plan::write_off(&mut lots, ending.at);
    let written_off = expiry.as_ref().map_or(0, |(_, points)| *points);
    let repaid = holding.debt - debt;
    let plan = Plan {
        posting: Posting {
            kind: Kind::Release,
            entries,
            occurred_at: ending.at,
        },
        expiry: expiry.map(|(posting, _)| posting),
        created: Vec::new(),
        changed: plan::changed(&before, lots),
        taken: Vec::new(),
        after: Holding {
            points: holding.points + points - repaid - written_off,
            held: holding.held - points,
            debt,
        },
    };
    (plan, hold.closed(ending.state, ending.at))
}

/// What lots and debt are at an instant, at which some holds may have timed out. Returns the debt. Does what
/// `release` will do once the member's ledger is posted to; `holds` are all open ones.
pub fn settle(lots: &mut [Lot], mut holds: Vec<Hold>, mut debt: i64, as_of: Timestamp) -> i64 {
    holds.sort_by(|a, b| (a.expires_at, &a.hold_id).cmp(&(b.expires_at, &b.hold_id)));
    for mut hold in holds {
        if hold.has_timed_out(as_of) {
            let at = hold.expires_at;
            let_go(lots, &mut hold, &mut debt, at);
        }
    }
    debt
}

/// Moves what is held back into the lots, and from those that have not expired repays debt.
fn let_go(lots: &mut [Lot], hold: &mut Hold, debt: &mut i64, at: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (lot, pin) in pinned(lots, &mut hold.pins) {
        let points = pin.held;
        if points == 0 {
            continue;
        }
        lot.held -= points;
        lot.remaining += points;
        entries.extend([
            held_entry(&hold.hold_id, &lot.lot_id, -points),
            plan::lot_entry(&lot.lot_id, points),
        ]);
        let repaid = if lot.has_expired(at) {
            0
        } else {
            points.min(*debt)
        };
        if repaid > 0 {
            *debt -= repaid;
            lot.remaining -= repaid;
            lot.consumed += repaid;
            entries.extend([
                plan::lot_entry(&lot.lot_id, -repaid),
                plan::entry(Account::Debt, repaid),
            ]);
        }
    }
    entries
}

/// Lots with what a hold has of them, in the order of spending.
fn pinned<'a>(
    lots: &'a mut [Lot],
    pins: &'a mut [Pin],
) -> impl Iterator<Item = (&'a mut Lot, &'a mut Pin)> {
    lots.sort_by(|a, b| a.spending_order().cmp(&b.spending_order()));
    let mut pins: Vec<_> = pins.iter_mut().collect();
    lots.iter_mut().filter_map(move |lot| {
        let position = pins.iter().position(|pin| pin.lot_id == lot.lot_id)?;
        Some((lot, pins.swap_remove(position)))
    })
}

fn find<'a>(lots: &'a mut [Lot], lot_id: &str) -> &'a mut Lot {
    let lot = lots.iter_mut().find(|lot| lot.lot_id == lot_id);
    lot.expect("a lot that was taken from has changed")
}

fn held_entry(hold_id: &str, lot_id: &str, points: i64) -> Entry {
    Entry {
        hold_id: Some(hold_id.to_owned()),
        account: Account::Held,
        ..plan::lot_entry(lot_id, points)
    }
}

#[cfg(test)]
mod tests;
