//! A member's ledger in one currency, made again from nothing but the postings: what has become of every lot and hold.
//!
//! Each line says what it did; the same telling explains single postings.

use std::collections::{BTreeMap, HashMap};

use common::time::Timestamp;

use super::plan::{Account, Kind};

mod facts;

use facts::Changed;
pub use facts::{Fact, HoldFacts, Imported, Line, LotFacts, Move, PinFacts, What};

/// A member's ledger in one currency.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every lot that there was.
    pub lots: BTreeMap<String, LotFacts>,
    /// Every hold that there was.
    pub holds: BTreeMap<String, HoldFacts>,
    /// What is owed.
    pub debt: i64,
    /// The latest instant of a posting.
    pub posted_at: Option<Timestamp>,
    made: HashMap<String, String>,
    /// How many lots the posting has made that is being added.
    lots_made: usize,
}

impl Ledger {
    /// Adds the next posting. Says of one that cannot follow what is wrong with it.
    pub fn apply(&mut self, fact: &Fact<'_>) -> Result<Vec<Move>, String> {
        self.lots_made = 0;
        let mut moves = Vec::with_capacity(fact.lines.len());
        let mut lines = fact.lines.iter().peekable();
        let mut issued = 0;
        while let Some(line) = lines.next() {
            let points = line.points;
            let done = match line.account {
                Account::Member if points > 0 => self.gain(fact, line)?,
                Account::Member => {
                    let repays = lines
                        .next_if(|next| next.account == Account::Debt && next.points == -points);
                    if repays.is_some() {
                        self.debt += points;
                    }
                    self.lose(fact, line, repays.is_some())?
                }
                Account::Held => self.hold(fact, line)?,
                Account::Debt if fact.may_owe() && points < 0 => {
                    self.debt -= points;
                    Some(What::Owed)
                }
                Account::Debt if matches!(fact.kind, Kind::Merge | Kind::Unmerge) => {
                    self.debt -= points;
                    Some(if points < 0 { What::Owed } else { What::Passed })
                }
                Account::Debt => return Err("debt changes without a lot".to_owned()),
                Account::Expired if fact.takes_back() => {
                    let lot = self.reversed(fact)?;
                    lot.expired += points;
                    lot.reversed -= points;
                    Some(What::TakenBackExpired)
                }
                Account::Issuance => {
                    issued += points;
                    None
                }
                Account::Expired | Account::Redeemed | Account::Clearing => None,
            };
            let Some(what) = done else { continue };
            let lot_id = match what {
                What::TakenBackExpired => fact.reverses.and_then(|id| self.made.get(id)).cloned(),
                _ => line.lot_id.map(str::to_owned),
            };
            moves.push(Move {
                what,
                remaining: lot_id.as_ref().map(|id| self.lots[id].remaining),
                lot_id,
                hold_id: line.hold_id.map(str::to_owned),
                points: points.abs(),
            });
        }
        if fact.takes_back() {
            let lot = self.reversed(fact)?;
            let left = lot.original - lot.taken_back - lot.adjusted;
            lot.qualifying = if issued == left {
                0
            } else {
                (lot.qualifying - issued).max(0)
            };
            lot.taken_back += issued;
        }
        self.posted_at = self.posted_at.max(Some(fact.posted_at));
        self.check(fact)?;
        Ok(moves)
    }

    /// Points come to a lot.
    fn gain(&mut self, fact: &Fact<'_>, line: &Line<'_>) -> Result<Option<What>, String> {
        let lot_id = line.lot_id.ok_or("points without a lot")?;
        let points = line.points;
        let Some(lot) = self.lots.get_mut(lot_id) else {
            if !matches!(
                fact.kind,
                Kind::Earn
                    | Kind::Adjust
                    | Kind::Transfer
                    | Kind::Refund
                    | Kind::Merge
                    | Kind::Unmerge
            ) {
                return Err(format!("lot {lot_id} is made by what makes none"));
            }
            let is_earned = fact.kind == Kind::Earn;
            let counts = fact.imported.is_none_or(|imported| imported.qualifies);
            let qualifies = is_earned && counts && fact.wallet.is_first();
            let terms = fact.terms.map(|terms| terms.get(self.lots_made).copied());
            let terms = terms.map(|of_lot| of_lot.ok_or("it does not tell of a lot that it makes"));
            let terms = terms.transpose()?;
            self.lots_made += 1;
            let earned_at = terms.map(|terms| terms.earned_at);
            let lot = LotFacts {
                posting_id: fact.posting_id.to_owned(),
                earned_at: earned_at.or(is_earned.then_some(fact.occurred_at)),
                terms,
                original: points,
                remaining: points,
                qualifying: if qualifies { points } else { 0 },
                ..LotFacts::default()
            };
            self.lots.insert(lot_id.to_owned(), lot);
            self.made
                .entry(fact.posting_id.to_owned())
                .or_insert_with(|| lot_id.to_owned());
            return Ok(Some(What::Made));
        };
        lot.remaining += points;
        match fact.kind {
            Kind::Release | Kind::Activate => Ok(None),
            Kind::Refund | Kind::Unmerge => {
                lot.consumed -= points;
                Ok(Some(What::Returned))
            }
            _ => Err(format!("lot {lot_id} gains what it cannot")),
        }
    }

    /// Points leave a lot, to repay debt or otherwise.
    fn lose(
        &mut self,
        fact: &Fact<'_>,
        line: &Line<'_>,
        repays: bool,
    ) -> Result<Option<What>, String> {
        let lot_id = line.lot_id.ok_or("points without a lot")?;
        let own = fact
            .reverses
            .and_then(|posting_id| self.made.get(posting_id));
        let is_own = own.is_some_and(|own| own == lot_id);
        let lot = self.lots.get_mut(lot_id);
        let lot = lot.ok_or_else(|| format!("lot {lot_id} was never made"))?;
        let points = -line.points;
        lot.remaining -= points;
        if fact.spends() && !repays {
            lot.spent_at = lot.spent_at.or(Some(fact.posted_at));
        }
        let (to, what) = match fact.kind {
            _ if repays => (&mut lot.consumed, What::Repaid),
            Kind::Redeem => (&mut lot.consumed, What::Spent),
            Kind::Transfer | Kind::Merge | Kind::Unmerge => (&mut lot.consumed, What::Sent),
            Kind::Refund => (&mut lot.consumed, What::Moved),
            Kind::Expire => (&mut lot.expired, What::Expired),
            Kind::Reverse | Kind::Cancel if is_own => (&mut lot.reversed, What::TakenBack),
            Kind::Reverse | Kind::Cancel => (&mut lot.consumed, What::Recovered),
            Kind::Hold | Kind::Activate => return Ok(None),
            Kind::Adjust => {
                lot.adjusted += points;
                (&mut lot.reversed, What::Taken)
            }
            Kind::Earn | Kind::Capture | Kind::Release => {
                return Err(format!("lot {lot_id} loses what it cannot"));
            }
        };
        *to += points;
        Ok(Some(what))
    }

    /// Points come to a hold, or leave it.
    fn hold(&mut self, fact: &Fact<'_>, line: &Line<'_>) -> Result<Option<What>, String> {
        let lot_id = line.lot_id.ok_or("held points without a lot")?;
        let hold_id = line.hold_id.ok_or("held points without a hold")?;
        let lot = self.lots.get_mut(lot_id);
        let lot = lot.ok_or_else(|| format!("lot {lot_id} was never made"))?;
        lot.held += line.points;
        let changed = Changed {
            kind: fact.kind,
            occurred_at: fact.occurred_at,
            posted_at: fact.posted_at,
            reason: fact.reason.to_owned(),
        };
        if fact.kind == Kind::Hold {
            let hold = self.holds.entry(hold_id.to_owned()).or_insert(HoldFacts {
                revision: fact.revision,
                created_at: fact.occurred_at,
                expires_at: fact.times_out_at,
                reason: fact.reason.to_owned(),
                actor: fact.actor.map(str::to_owned),
                pins: BTreeMap::new(),
                last: changed,
                before: None,
            });
            hold.pins.entry(lot_id.to_owned()).or_default().points += line.points;
            return Ok(Some(What::Held));
        }
        let hold = self.holds.get_mut(hold_id);
        let hold = hold.ok_or_else(|| format!("hold {hold_id} was never made"))?;
        if hold.last != changed {
            hold.before = Some(std::mem::replace(&mut hold.last, changed));
        }
        let pin = hold.pins.get_mut(lot_id);
        let pin = pin.ok_or_else(|| format!("hold {hold_id} has nothing of lot {lot_id}"))?;
        match fact.kind {
            Kind::Capture => {
                lot.consumed -= line.points;
                pin.captured -= line.points;
                Ok(Some(What::Captured))
            }
            Kind::Release => {
                pin.released -= line.points;
                Ok(Some(What::Released))
            }
            _ => Err(format!("hold {hold_id} changes as it cannot")),
        }
    }

    fn reversed(&mut self, fact: &Fact<'_>) -> Result<&mut LotFacts, String> {
        let lot_id = fact
            .reverses
            .and_then(|posting_id| self.made.get(posting_id));
        let lot = lot_id.and_then(|lot_id| self.lots.get_mut(lot_id));
        lot.ok_or_else(|| "it reverses what made no lot".to_owned())
    }

    /// Every lot and pin that the posting names keeps its equation, with nothing below zero.
    fn check(&self, fact: &Fact<'_>) -> Result<(), String> {
        for line in fact.lines {
            let Some(lot_id) = line.lot_id else { continue };
            let lot = &self.lots[lot_id];
            let parts = [
                lot.remaining,
                lot.held,
                lot.consumed,
                lot.expired,
                lot.reversed,
            ];
            if parts.iter().sum::<i64>() != lot.original || parts.iter().any(|part| *part < 0) {
                return Err(format!(
                    "lot {lot_id} comes to {parts:?} of {}",
                    lot.original
                ));
            }
            let pin = line
                .hold_id
                .map(|hold_id| (hold_id, self.holds[hold_id].pins[lot_id]));
            if let Some((hold_id, pin)) = pin.filter(|(_, pin)| pin.held() < 0) {
                return Err(format!("hold {hold_id} comes to {pin:?} of lot {lot_id}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
