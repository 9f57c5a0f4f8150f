//! The ledger of another system, taken over row by row: each row is decided on what the member had when it occurred.
//!
//! A row that occurred after everything in the member's ledger is decided as a call would have been at that instant.
//! One dated before something else takes only points that nothing since has needed: no running balance of any lot
//! falls below zero. What is missing then becomes debt, where that is forced.

use std::collections::{BTreeMap, HashMap};

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::currency::Wallet;
use super::lots::{self, Allocation, Lot, State};
use super::plan::{self, Account, Earn, Entry, Holding, Kind, Plan, Posting, Refused};

const RULE: &str = "import";

/// The rule of imported postings in a currency: with it the source of one is unique for ever.
pub fn rule(wallet: &Wallet) -> String {
    wallet.rule(RULE)
}

/// Whether a rule is one of imported postings.
pub fn is_rule(rule: &str) -> bool {
    let currency = rule.strip_prefix(RULE);
    currency.is_some_and(|currency| currency.is_empty() || currency.starts_with('/'))
}

/// What a row says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Points were earned.
    Earn,
    /// Points were spent.
    Redeem,
    /// Points ran out.
    Expire,
    /// Points were given or taken by hand.
    Adjust,
}

/// A row of another system's ledger, as it is recorded with its posting. Instants are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What happened.
    pub kind: RowKind,
    /// How many points; below zero only where they were taken by hand.
    pub points: i64,
    /// When it happened.
    pub occurred_at: i64,
    /// When the other system wrote it, if it tells.
    pub recorded_at: Option<i64>,
    /// From when on what was earned could be spent, if not from when it was earned.
    pub activates_at: Option<i64>,
    /// From when on it no longer could; absent: as the program says.
    pub expires_at: Option<i64>,
    /// Whether it counts for the tier, if it was earned.
    pub qualifies: bool,
    /// Whether what is missing becomes debt.
    pub force: bool,
    /// Why.
    pub reason: String,
    /// Why, as reports count it.
    pub reason_code: Option<String>,
    /// Who approves of an adjustment.
    pub approver: Option<String>,
    /// Who did it in the other system.
    pub actor: String,
}

impl Row {
    /// When it happened.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.occurred_at)
    }

    /// Whether it brings points.
    pub fn gives(&self) -> bool {
        match self.kind {
            RowKind::Earn => true,
            RowKind::Adjust => self.points > 0,
            RowKind::Redeem | RowKind::Expire => false,
        }
    }

    /// The fields in which two rows differ, as callers know them.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart whole: a field that is added must be compared too.
        let Self {
            kind,
            points,
            occurred_at,
            recorded_at,
            activates_at,
            expires_at,
            qualifies,
            force,
            reason,
            reason_code,
            approver,
            actor,
        } = self;
        let told = [
            ("kind", *kind == other.kind),
            ("points", *points == other.points),
            ("occurred_at", *occurred_at == other.occurred_at),
            ("recorded_at", *recorded_at == other.recorded_at),
            ("activates_at", *activates_at == other.activates_at),
            ("expires_at", *expires_at == other.expires_at),
            ("not_qualifying", *qualifies == other.qualifies),
            ("force", *force == other.force),
            ("reason", *reason == other.reason),
            ("reason_code", *reason_code == other.reason_code),
            ("approver", *approver == other.approver),
            ("actor", *actor == other.actor),
        ];
        let differing = told.into_iter().filter(|(_, same)| !same);
        differing.map(|(field, _)| field).collect()
    }
}

/// When a row is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// When it occurred.
    pub at: Timestamp,
    /// When debt is repaid or made: then, unless something later is in the ledger already; otherwise now.
    pub settled_at: Timestamp,
}

/// A decided row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What it does.
    pub plan: Plan,
    /// From when on each line counts.
    pub effective: Vec<Timestamp>,
}

/// Points that come: a lot, from which debt is repaid first.
pub fn give(holding: Holding, given: Earn, row: &Row, when: When) -> Result<Decided, Refused> {
    let mut plan = plan::earn(holding, given, when.settled_at)?;
    if row.kind == RowKind::Adjust {
        plan.posting.kind = Kind::Adjust;
    }
    let qualifies = row.kind == RowKind::Earn && row.qualifies;
    for lot in plan.created.iter_mut().filter(|_| !qualifies) {
        lot.qualifying = 0;
    }
    // First the points come, then they repay.
    let came = |n| if n < 2 { when.at } else { when.settled_at };
    let effective = (0..plan.posting.entries.len()).map(came).collect();
    Ok(Decided { plan, effective })
}

/// Points that go: in the order of spending from the lots that were active when the row occurred, or had expired by
/// then where points ran out. `lots` are all lots with points left or held; `usable` tells of how many points of each
/// nothing since has had need, where that is not all that is left.
pub fn take(
    holding: Holding,
    mut lots: Vec<Lot>,
    usable: &BTreeMap<String, i64>,
    row: &Row,
    when: When,
) -> Result<Decided, Refused> {
    let before = lots.clone();
    let points = row.points.abs();
    lots.sort_by(|a, b| a.spending_order().cmp(&b.spending_order()));
    let (mut missing, mut taken) = (points, Vec::new());
    for lot in lots.iter_mut().filter(|lot| was_there(lot, row)) {
        let most = usable.get(&lot.lot_id).copied().unwrap_or(lot.remaining);
        taken.extend(from(lot, missing.min(most), row.kind));
        missing = points - plan::sum(&taken);
    }
    if missing > 0 && !row.force {
        let available = points - missing;
        return Err(Refused::Insufficient { available });
    }
    let mut effective = vec![when.at; taken.len()];
    let (mut expiry, mut owed) = (None, 0);
    if missing > 0 {
        // Nobody owes points and has some: what is missing is taken from what else there is.
        expiry = plan::write_off(&mut lots, when.settled_at);
        let mut others = Vec::new();
        for state in [State::Active, State::Pending] {
            let at = when.settled_at;
            for lot in lots.iter_mut().filter(|lot| lot.state(at) == state) {
                let wanted = missing - plan::sum(&others);
                others.extend(from(lot, wanted, row.kind));
            }
        }
        owed = missing - plan::sum(&others);
        for other in others {
            // One line for each lot.
            match taken.iter().position(|of| of.lot_id == other.lot_id) {
                Some(place) => {
                    taken[place].points += other.points;
                    effective[place] = when.settled_at;
                }
                None => taken.push(other),
            }
        }
        effective.resize(taken.len(), when.settled_at);
    }
    let mut entries = lines(&taken);
    if owed > 0 {
        entries.push(plan::entry(Account::Debt, -owed));
        effective.push(when.settled_at);
    }
    entries.push(plan::entry(contra(row.kind), points));
    effective.push(when.at);
    let (expiry, written_off) = expiry.unzip();
    let plan = Plan {
        posting: Posting {
            kind: match row.kind {
                RowKind::Expire => Kind::Expire,
                RowKind::Adjust => Kind::Adjust,
                RowKind::Earn | RowKind::Redeem => Kind::Redeem,
            },
            entries,
            occurred_at: when.at,
        },
        expiry,
        created: Vec::new(),
        changed: plan::changed(&before, lots),
        after: Holding {
            points: holding.points - plan::sum(&taken) - written_off.unwrap_or_default(),
            debt: holding.debt + owed,
            ..holding
        },
        taken,
    };
    Ok(Decided { plan, effective })
}

/// How many points of each lot nothing has needed since an instant: the least that it has had left from then on.
/// `later` are the changes of what lots had left, of each lot in the order of time.
pub fn usable(lots: &[Lot], later: &[(String, i64)]) -> BTreeMap<String, i64> {
    let mut changes: HashMap<&str, Vec<i64>> = HashMap::new();
    for (lot_id, points) in later {
        changes.entry(lot_id).or_default().push(*points);
    }
    let least = |lot: &Lot| {
        let (mut left, mut least) = (lot.remaining, lot.remaining);
        for change in changes.get(lot.lot_id.as_str())?.iter().rev() {
            left -= change;
            least = least.min(left);
        }
        Some((lot.lot_id.clone(), least.max(0)))
    };
    lots.iter().filter_map(least).collect()
}

fn was_there(lot: &Lot, row: &Row) -> bool {
    match lot.state(row.at()) {
        State::Active => true,
        State::Expired => row.kind == RowKind::Expire,
        State::Pending | State::Exhausted | State::Reversed | State::Cancelled => false,
    }
}

fn from(lot: &mut Lot, points: i64, kind: RowKind) -> Option<Allocation> {
    let points = points.min(lot.remaining);
    lot.remaining -= points;
    match kind {
        RowKind::Expire => lot.expired += points,
        RowKind::Adjust => lot.reversed += points,
        RowKind::Earn | RowKind::Redeem => lot.consumed += points,
    }
    (points > 0).then(|| lot.allocation(points))
}

fn contra(kind: RowKind) -> Account {
    match kind {
        RowKind::Expire => Account::Expired,
        RowKind::Adjust => Account::Issuance,
        RowKind::Earn | RowKind::Redeem => Account::Redeemed,
    }
}

fn lines(taken: &[lots::Allocation]) -> Vec<Entry> {
    let line = |a: &Allocation| plan::lot_entry(&a.lot_id, -a.points);
    taken.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
