//! A member in one currency: lots, holds, debt, and the postings that led there.

use std::collections::BTreeMap;
use std::rc::Rc;

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, TransactionKind as Kind};

use super::Micros;
use super::imports::Known;
use super::limits::{Counter, Usage};
pub use super::lot::Lot;
use super::lot::is_in;
use super::persons::Counts;
use super::policies::{Policies, Versions};
use super::sweeps::Notice;
use super::tiers::Given;
use crate::answers::stamp;
use crate::operations::CALLER;

#[derive(Debug, Clone, PartialEq)]
pub struct Pin {
    pub lot_id: String,
    pub points: i64,
    pub held: i64,
    pub captured: i64,
    pub released: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    pub id: String,
    pub reason: String,
    pub state: pb::HoldState,
    pub created_at: Micros,
    pub expires_at: Micros,
    pub closed_at: Option<Micros>,
    pub pins: Vec<Pin>,
}

/// A line of an earning, and what of it was returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub id: String,
    pub weight: i64,
    pub pieces: i64,
    /// Weight and pieces.
    pub returned: (i64, i64),
}

/// What was taken back of an earning so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Earning {
    pub lot_id: String,
    /// Of the posting: its place among all of the customer's.
    pub revision: i64,
    pub lines: Vec<Line>,
    /// The posting that said that its event has come, or does not.
    pub settled_by: Option<String>,
    pub source: (String, String),
    /// Points taken back by reversals, and how many of these there were.
    pub reversed: (i64, usize),
    /// Points of the lot that adjustments took.
    pub adjusted: i64,
    /// By which it was earned.
    pub rule: String,
    /// Where its points count against limits.
    pub counted: Vec<Counter>,
    pub latest: String,
}

/// What was given back of a redemption or capture so far: lot, points spent, points refunded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spending {
    pub parts: Vec<(String, i64, i64)>,
    pub latest: String,
}

/// The money of a purchase, and what is left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchase {
    pub at: Micros,
    pub spend: i64,
    pub left: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub program_id: String,
    pub customer_id: String,
    pub currency: String,
    pub is_first: bool,
    pub enrolled_at: Micros,
    pub debt: i64,
    pub lots: Vec<Lot>,
    /// In the order in which they were authorised.
    pub holds: Vec<Hold>,
    pub postings: Vec<Rc<pb::LedgerTransaction>>,
    pub earnings: BTreeMap<String, Earning>,
    pub spendings: BTreeMap<String, Spending>,
    /// Tiers given by hand, the first given first. Of all currencies the first account has them.
    pub given: Vec<Given>,
    /// Of the tier policy of the program.
    pub policies: Versions,
    /// The version of it that the tier was decided by last, when anything was posted.
    pub decided_by: i64,
    /// The tier that this came to.
    pub tier: String,
    /// How it changed, the latest change last.
    pub tiers: Vec<pb::TierChange>,
    /// Whether it is decided anew once all is done that was asked for.
    pub is_undecided: bool,
    /// Notices of points that expire that were told.
    pub noticed: Vec<Notice>,
    /// Purchases that count, by their ids. Of all currencies the first account has them.
    pub bought: BTreeMap<String, Purchase>,
    /// Rows of other systems, by their identifiers.
    pub imported: BTreeMap<String, Known>,
    /// What came into lots and left them: the lot, from when on it counts, and points.
    pub moves: Vec<(String, Micros, i64)>,
    /// The latest instant from which anything counts.
    pub latest: Option<Micros>,
    /// What is used of limits by it.
    pub counted: Usage,
    /// What limits made of each earning that they hold for.
    pub limited: BTreeMap<String, Vec<pb::DecisionLimit>>,
    /// What each earning of a purchase was decided on.
    pub based: BTreeMap<String, pb::PurchaseBasis>,
    /// Who stands for it, if it is merged.
    pub survivor: Option<String>,
    /// What counts of those for whom it stands.
    pub others: BTreeMap<String, Counts>,
}

impl Hold {
    pub fn held(&self) -> i64 {
        self.pins.iter().map(|pin| pin.held).sum()
    }

    pub fn has_timed_out(&self, at: Micros) -> bool {
        self.state == pb::HoldState::Authorized && self.expires_at <= at
    }
}

impl Member {
    pub fn new(program_id: &str, customer_id: &str, enrolled_at: Micros) -> Self {
        let policies = Policies::default().of(program_id);
        let tier = policies[0].tiers[0].name.clone();
        Self {
            program_id: program_id.to_owned(),
            customer_id: customer_id.to_owned(),
            currency: String::new(),
            is_first: true,
            enrolled_at,
            debt: 0,
            lots: Vec::new(),
            holds: Vec::new(),
            postings: Vec::new(),
            earnings: BTreeMap::new(),
            spendings: BTreeMap::new(),
            given: Vec::new(),
            policies,
            decided_by: 1,
            tiers: vec![pb::TierChange {
                to_tier: tier.clone(),
                changed_at: Some(stamp(enrolled_at)),
                policy_version: 1,
                ..Default::default()
            }],
            tier,
            is_undecided: false,
            noticed: Vec::new(),
            bought: BTreeMap::new(),
            imported: BTreeMap::new(),
            moves: Vec::new(),
            latest: None,
            counted: Usage::new(),
            limited: BTreeMap::new(),
            based: BTreeMap::new(),
            survivor: None,
            others: BTreeMap::new(),
        }
    }

    /// The name of a rule in this currency: a source earns in each once.
    pub fn rule(&self, rule: &str) -> String {
        if self.is_first {
            rule.to_owned()
        } else {
            format!("{rule}/{}", self.currency)
        }
    }

    /// Counts points that are earned against limits, or gives them back.
    pub fn count(&mut self, counters: &[Counter], points: i64) {
        for counter in counters {
            *self.counted.entry(counter.clone()).or_default() += points;
        }
    }

    pub fn has_lot(&self, lot_id: &str) -> bool {
        self.lots.iter().any(|lot| lot.id == lot_id)
    }

    pub fn has_hold(&self, hold_id: &str) -> bool {
        self.holds.iter().any(|hold| hold.id == hold_id)
    }

    pub fn has_posting(&self, id: &str) -> bool {
        let mut postings = self.postings.iter();
        postings.any(|posting| posting.transaction_id == id)
    }

    pub fn lot(&mut self, lot_id: &str) -> &mut Lot {
        let lot = self.lots.iter_mut().find(|lot| lot.id == lot_id);
        lot.expect("lots never go away")
    }

    pub fn available(&self, at: Micros) -> i64 {
        let active = self
            .lots
            .iter()
            .filter(|lot| is_in(lot, pb::LotState::Active, at));
        active.map(|lot| lot.remaining).sum()
    }

    /// Takes up to so many points out of the lots in a state, in the order of spending.
    pub fn take(&mut self, points: i64, state: pb::LotState, at: Micros) -> Vec<pb::LotAllocation> {
        self.lots.sort_by_key(Lot::spending_order);
        let mut missing = points;
        let mut taken = Vec::new();
        for lot in &mut self.lots {
            let of_lot = missing.min(lot.remaining);
            if of_lot == 0 || lot.state(at) != state {
                continue;
            }
            missing -= of_lot;
            lot.remaining -= of_lot;
            lot.consumed += of_lot;
            taken.push(lot.allocation(of_lot));
        }
        taken
    }

    /// Repays debt from a lot as far as so many of its points go.
    pub fn repay(&mut self, lot_id: &str, points: i64) -> Vec<pb::LedgerEntry> {
        let repaid = self.debt.min(points);
        if repaid == 0 {
            return Vec::new();
        }
        self.debt -= repaid;
        let lot = self.lot(lot_id);
        lot.remaining -= repaid;
        lot.consumed += repaid;
        vec![of_lot(lot_id, -repaid), on(Account::Debt, repaid)]
    }

    /// Writes off what lots have left that have expired by `at`, if they are among those wanted.
    pub fn write_off(&mut self, at: Micros, now: Micros, wanted: impl Fn(&Lot) -> bool) {
        let mut entries = Vec::new();
        let mut total = 0;
        for lot in &mut self.lots {
            if lot.remaining > 0 && lot.has_expired(at) && wanted(lot) {
                entries.push(of_lot(&lot.id, -lot.remaining));
                total += lot.remaining;
                lot.expired += lot.remaining;
                lot.remaining = 0;
            }
        }
        if total > 0 {
            entries.push(on(Account::Expired, total));
            let posting = pb::LedgerTransaction {
                kind: Kind::Expire.into(),
                occurred_at: Some(stamp(at)),
                entries,
                ..Default::default()
            };
            self.post(posting, now);
        }
    }

    /// Lets holds go that have timed out, each as of when it did.
    pub fn notice(&mut self, now: Micros) {
        let mut due: Vec<_> = self
            .holds
            .iter()
            .filter(|hold| hold.has_timed_out(now))
            .collect();
        due.sort_by_key(|hold| (hold.expires_at, hold.id.clone()));
        let due: Vec<_> = due
            .into_iter()
            .map(|hold| (hold.id.clone(), hold.expires_at))
            .collect();
        for (hold_id, at) in due {
            self.let_go(
                &hold_id,
                pb::HoldState::Expired,
                "hold timed out",
                (at, now),
            );
        }
    }

    /// Ends a hold as of `at`: what is held returns to its lots and repays debt; what of it has expired by then is
    /// written off.
    pub fn let_go(
        &mut self,
        hold_id: &str,
        state: pb::HoldState,
        reason: &str,
        (at, now): (Micros, Micros),
    ) -> pb::LedgerTransaction {
        self.lots.sort_by_key(Lot::spending_order);
        let order: Vec<_> = self.lots.iter().map(|lot| lot.id.clone()).collect();
        let position = self.holds.iter().position(|hold| hold.id == hold_id);
        let position = position.expect("holds never go away");
        let mut entries = Vec::new();
        for lot_id in order {
            let pins = &mut self.holds[position].pins;
            let Some(pin) = pins
                .iter_mut()
                .find(|pin| pin.lot_id == lot_id && pin.held > 0)
            else {
                continue;
            };
            let points = std::mem::take(&mut pin.held);
            pin.released += points;
            let lot = self.lot(&lot_id);
            lot.held -= points;
            lot.remaining += points;
            let has_expired = lot.has_expired(at);
            entries.push(of_hold(hold_id, &lot_id, -points));
            entries.push(of_lot(&lot_id, points));
            if !has_expired {
                entries.extend(self.repay(&lot_id, points));
            }
        }
        let hold = &mut self.holds[position];
        hold.state = state;
        hold.closed_at = Some(at);
        let by_itself = state == pb::HoldState::Expired;
        let posting = pb::LedgerTransaction {
            actor: if by_itself { "" } else { CALLER }.to_owned(),
            kind: Kind::Release.into(),
            occurred_at: Some(stamp(at)),
            reason: reason.to_owned(),
            entries,
            ..Default::default()
        };
        let posting = self.post(posting, now);
        self.write_off(at, now, |_| true);
        posting
    }

    pub fn turning_points(&self) -> impl Iterator<Item = Micros> {
        let lots = self
            .lots
            .iter()
            .flat_map(|lot| [lot.activates_at, lot.expires_at, Some(lot.earned_at)]);
        let given = self.given.iter().map(|given| given.expires_at);
        let holds = self.holds.iter().map(|hold| Some(hold.expires_at));
        lots.chain(holds).chain(given).flatten()
    }

    /// L1, I1, and that debt and available points exclude each other.
    pub fn assert_sound(&self) {
        for lot in &self.lots {
            let parts = [
                lot.remaining,
                lot.held,
                lot.consumed,
                lot.expired,
                lot.reversed,
            ];
            assert!(parts.iter().all(|part| *part >= 0), "{lot:?}");
            assert_eq!(parts.iter().sum::<i64>(), lot.original, "{lot:?}");
            let pins = self.holds.iter().flat_map(|hold| &hold.pins);
            let pinned = pins.filter(|pin| pin.lot_id == lot.id).map(|pin| pin.held);
            assert_eq!(pinned.sum::<i64>(), lot.held, "{lot:?}");
        }
        let left: i64 = self.lots.iter().map(|lot| lot.remaining).sum();
        assert!(self.debt >= 0 && (self.debt == 0 || left == 0), "{self:?}");
        let entries = || self.postings.iter().flat_map(|posting| &posting.entries);
        assert_eq!(entries().map(|entry| entry.points).sum::<i64>(), 0);
        let of = |account| entries().filter(move |entry| entry.account() == account);
        let sum = |account| of(account).map(|entry| entry.points).sum::<i64>();
        assert_eq!(
            (sum(Account::Member), -sum(Account::Debt)),
            (left, self.debt)
        );
    }
}

pub fn on(account: Account, points: i64) -> pb::LedgerEntry {
    pb::LedgerEntry {
        account: account.into(),
        points,
        ..Default::default()
    }
}

pub fn of_lot(lot_id: &str, points: i64) -> pb::LedgerEntry {
    pb::LedgerEntry {
        lot_id: lot_id.to_owned(),
        ..on(Account::Member, points)
    }
}

pub fn of_hold(hold_id: &str, lot_id: &str, points: i64) -> pb::LedgerEntry {
    pb::LedgerEntry {
        hold_id: hold_id.to_owned(),
        lot_id: lot_id.to_owned(),
        ..on(Account::Held, points)
    }
}
