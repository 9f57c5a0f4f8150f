//! A member's ledger in one currency, made again from nothing but the postings: what has become of every lot and hold.
//!
//! Each line says what it did; the same telling explains single postings.

use std::collections::{BTreeMap, HashMap};

use common::time::Timestamp;

use super::currency::Wallet;
use super::plan::{Account, Kind};

/// A line of a posting.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The account.
    pub account: Account,
    /// The lot.
    pub lot_id: Option<&'a str>,
    /// The hold.
    pub hold_id: Option<&'a str>,
    /// Signed amount.
    pub points: i64,
}

/// A posting.
#[derive(Debug, Clone)]
pub struct Fact<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub posting_id: &'a str,
    /// The customer's revision with it.
    pub revision: i64,
    /// The currency.
    pub wallet: &'a Wallet,
    /// The posting it reverses.
    pub reverses: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// When what it is for happened.
    pub occurred_at: Timestamp,
    /// When it was written.
    pub posted_at: Timestamp,
    /// What the ledger of another system says of it, if it was taken over from one.
    pub imported: Option<Imported>,
    /// Its lines, in order.
    pub lines: &'a [Line<'a>],
}

/// What the ledger of another system says of a posting.
#[derive(Debug, Clone, Copy)]
pub struct Imported {
    /// Whether what it earns counts for the tier.
    pub qualifies: bool,
}

impl Fact<'_> {
    /// Whether an earning is taken back by it.
    fn takes_back(&self) -> bool {
        matches!(self.kind, Kind::Reverse | Kind::Cancel)
    }

    /// Whether it takes points only from lots that are active when it is written.
    fn spends(&self) -> bool {
        let of_active = matches!(
            self.kind,
            Kind::Redeem | Kind::Hold | Kind::Transfer | Kind::Adjust
        );
        of_active && self.imported.is_none()
    }

    /// Whether points that are missing become debt by it.
    fn may_owe(&self) -> bool {
        let is_forced = matches!(self.kind, Kind::Redeem | Kind::Adjust) && self.imported.is_some();
        self.takes_back() || is_forced
    }
}

/// What has become of a lot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LotFacts {
    /// The posting that made it.
    pub posting_id: String,
    /// When it was earned, where the posting tells.
    pub earned_at: Option<Timestamp>,
    /// Points it began with.
    pub original: i64,
    /// Points left.
    pub remaining: i64,
    /// Points held.
    pub held: i64,
    /// Points spent, also on debt.
    pub consumed: i64,
    /// Points written off.
    pub expired: i64,
    /// Points taken back.
    pub reversed: i64,
    /// Points that count for the tier.
    pub qualifying: i64,
    /// When it was spent from first: by then it was active.
    pub spent_at: Option<Timestamp>,
    taken_back: i64,
    adjusted: i64,
}

/// What has become of what a hold has of one lot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PinFacts {
    /// Points held at first.
    pub points: i64,
    /// Points captured.
    pub captured: i64,
    /// Points let go.
    pub released: i64,
}

impl PinFacts {
    /// Points still held.
    pub fn held(&self) -> i64 {
        self.points - self.captured - self.released
    }
}

/// What has become of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldFacts {
    /// The revision of the posting that made it.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it has of which lots.
    pub pins: BTreeMap<String, PinFacts>,
    last: Changed,
    before: Option<Changed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    kind: Kind,
    occurred_at: Timestamp,
    posted_at: Timestamp,
    reason: String,
}

impl HoldFacts {
    /// Adds its pins up.
    pub fn sum(&self) -> PinFacts {
        self.pins
            .values()
            .fold(PinFacts::default(), |sum, pin| PinFacts {
                points: sum.points + pin.points,
                captured: sum.captured + pin.captured,
                released: sum.released + pin.released,
            })
    }

    /// When it was closed by the postings, of one that times out at an instant, and which states that admits;
    /// `None` while it is open. What was let go in the call of a last capture was captured; postings alone do not
    /// tell that from a void at the same instant.
    pub fn closed(&self, expires_at: Timestamp) -> Option<(&'static [&'static str], Timestamp)> {
        if self.sum().held() > 0 {
            return None;
        }
        let at = self.last.occurred_at;
        let with_last = |before: &Changed| {
            before.kind == Kind::Capture
                && (before.posted_at, &before.reason) == (self.last.posted_at, &self.last.reason)
        };
        let states: &[_] = match self.last.kind {
            Kind::Release if at == expires_at => &["expired"],
            Kind::Release if self.before.as_ref().is_some_and(with_last) => &["captured", "voided"],
            Kind::Release => &["voided"],
            _ => &["captured"],
        };
        Some((states, at))
    }
}

/// What a line did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Made a lot.
    Made,
    /// Spent points of a lot.
    Spent,
    /// Gave points of a lot to another member.
    Sent,
    /// Took points of a lot by hand.
    Taken,
    /// Wrote off what an expired lot had left.
    Expired,
    /// Took back what the earning's own lot had left.
    TakenBack,
    /// Took back what of the earning's own lot had expired.
    TakenBackExpired,
    /// Made up from another lot for what of the earning was spent.
    Recovered,
    /// Became debt.
    Owed,
    /// Repaid debt from a lot.
    Repaid,
    /// Set points of a lot aside.
    Held,
    /// Spent held points.
    Captured,
    /// Let held points go.
    Released,
    /// Returned points to the lot they were spent from.
    Returned,
    /// Moved returned points on into a new lot.
    Moved,
    /// Passed debt on to another member.
    Passed,
}

/// A line in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What it did.
    pub what: What,
    /// The lot, where one is concerned.
    pub lot_id: Option<String>,
    /// The hold, where one is concerned.
    pub hold_id: Option<String>,
    /// How many points.
    pub points: i64,
    /// What the lot has left after it.
    pub remaining: Option<i64>,
}

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
}

impl Ledger {
    /// Adds the next posting. Says of one that cannot follow what is wrong with it.
    pub fn apply(&mut self, fact: &Fact<'_>) -> Result<Vec<Move>, String> {
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
            let lot = LotFacts {
                posting_id: fact.posting_id.to_owned(),
                earned_at: is_earned.then_some(fact.occurred_at),
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
