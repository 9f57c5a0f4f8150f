//! Purchases that the customer service announces: what they earn by the base rule, and taking that back.

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use pb::TransactionKind as Kind;

use super::bases::{UNIT, basis};
use super::limits::Granted;
use super::member::{Earning, Line, Lot, Member, Purchase};
use super::points::{bring_in, new_lot};
use super::returns::{TakeBack, reversal, take_back};
use super::{Micros, Of, Step, of};
use crate::answers::{Refusal, micros};
use crate::operations::purchases::{Happened, PROGRAMS, PURCHASE, VOIDED};
use crate::operations::{Announce, Announced, Told};

impl Step<'_> {
    pub fn announce(&mut self, request: &Announce) -> Result<Announced, Refusal> {
        let mut postings = vec![None; PROGRAMS.len()];
        let mut is_void = request.is_void;
        for happened in &request.happened {
            for (place, program_id) in PROGRAMS.into_iter().enumerate() {
                let told = self.told.items.get(place).cloned().unwrap_or_default();
                let made = match happened {
                    Happened::Recorded if is_void => None,
                    Happened::Recorded => self.bought(program_id, &request.purchase, &told)?,
                    Happened::Voided => self.voided(program_id, &request.purchase, &told)?,
                };
                postings[place] = postings[place].take().or(made);
            }
            is_void |= *happened == Happened::Voided;
        }
        Ok(Announced { postings })
    }

    /// A purchase earns once in every program that the customer is a member of, multiplied by the tier of when it
    /// happened. Where it is known, or nothing was paid for it, nothing is touched.
    fn bought(
        &mut self,
        program_id: &str,
        purchase: &customer::Transaction,
        told: &Told,
    ) -> Result<Option<pb::LedgerTransaction>, Refusal> {
        let now = self.now;
        let whose = of(program_id, &purchase.customer_id);
        let at = purchase.occurred_at.as_ref().map(micros);
        let at = at.expect("always given");
        let id = &purchase.transaction_id;
        let total = purchase.total.as_ref().expect("always given");
        let versions = self.world.policies.of(program_id);
        let Ok(member) = self.find(whose, "") else {
            return Ok(None);
        };
        if total.currency_code != UNIT.0 || total.micros <= 0 || earned_by(member, id).is_some() {
            return Ok(None);
        }
        let basis = basis(member, &versions, (purchase, now));
        let points = basis.points;
        if points == 0 && member.bought.contains_key(id) {
            return Ok(None);
        }
        member.follow(now);
        let spend = total.micros;
        let new = Purchase {
            at,
            spend,
            left: spend,
        };
        member.bought.insert(id.clone(), new);
        if points == 0 {
            member.recount(now);
            return Ok(None);
        }
        self.open(whose, "")?;
        let granted = self.grant_what_is_left(whose, (points, at), told)?;
        let expires_at = self.expiry(program_id, "", at);
        let member = self.find(whose, "")?;
        member.count(&granted.counted, granted.points);
        member
            .limited
            .insert(told.transaction_id.clone(), granted.decided);
        member.based.insert(told.transaction_id.clone(), basis);
        let posting = pb::LedgerTransaction {
            source_type: PURCHASE.to_owned(),
            source_ref: id.clone(),
            rule: member.rule("base"),
            limit_cuts: granted.cuts,
            actor: String::new(),
            ..told.posting(Kind::Earn, at, "")
        };
        if granted.points == 0 {
            return Ok(Some(member.post(posting, now)));
        }
        let lot = Lot {
            qualifying: granted.points,
            ..new_lot(told, granted.points, (at, Some(at), expires_at))
        };
        let earning = Earning {
            lot_id: lot.id.clone(),
            revision: told.revision,
            lines: lines(purchase),
            settled_by: None,
            source: (PURCHASE.to_owned(), id.clone()),
            reversed: (0, 0),
            adjusted: 0,
            rule: posting.rule.clone(),
            counted: granted.counted,
            latest: String::new(),
        };
        let posting = bring_in(member, lot, posting, (now, now));
        member.earnings.insert(told.transaction_id.clone(), earning);
        Ok(Some(posting))
    }

    /// What it earned is taken back, whatever has become of it. Where nothing is left of its points and its money,
    /// nothing is touched.
    fn voided(
        &mut self,
        program_id: &str,
        purchase: &customer::Transaction,
        told: &Told,
    ) -> Result<Option<pb::LedgerTransaction>, Refusal> {
        let now = self.now;
        let whose = of(program_id, &purchase.customer_id);
        let Ok(member) = self.find(whose, "") else {
            return Ok(None);
        };
        let bought = member.bought.get(&purchase.transaction_id);
        let counts = bought.is_some_and(|bought| bought.left > 0);
        let earned = earned_by(member, &purchase.transaction_id);
        let earned = earned.filter(|id| can_be_taken_back(member, id));
        if !counts && earned.is_none() {
            return Ok(None);
        }
        member.follow(now);
        if let Some(bought) = member.bought.get_mut(&purchase.transaction_id) {
            bought.left = 0;
        }
        let Some(id) = earned else {
            member.recount(now);
            return Ok(None);
        };
        self.notice_only(whose)?;
        let member = self.find(whose, "")?;
        let all = TakeBack {
            id: &id,
            extent: None,
            policy: pb::ReversalPolicy::AllowDebt,
        };
        let posting = pb::LedgerTransaction {
            actor: String::new(),
            ..reversal(&member.earnings[&id], &id, told, (now, VOIDED))
        };
        let taken = take_back(member, &all, posting, now)?;
        member.end_given(now);
        Ok(Some(taken.posting))
    }

    /// As much as limits leave, which may be nothing.
    fn grant_what_is_left(
        &mut self,
        whose: Of<'_>,
        (points, at): (i64, Micros),
        told: &Told,
    ) -> Result<Granted, Refusal> {
        let mut step = Step {
            world: &mut *self.world,
            told,
            now: self.now,
        };
        step.grant_left(whose, "", (points, at))
    }

    /// Holds that have timed out are let go. Only a posting makes anything else of what time has done.
    pub(super) fn notice_only(&mut self, whose: Of<'_>) -> Result<(), Refusal> {
        let now = self.now;
        let accounts = self.accounts(whose)?;
        let is_due = |account: &Member| account.holds.iter().any(|hold| hold.has_timed_out(now));
        let any = accounts.iter().any(is_due);
        for account in accounts {
            account.notice(now);
            if any {
                account.end_given(now);
            }
        }
        Ok(())
    }
}

impl Member {
    /// The tier is decided anew where purchases count for it.
    fn recount(&mut self, now: Micros) {
        if self.policy(now).metric() != pb::TierMetric::PointsEarned {
            self.end_given(now);
        }
    }
}

/// The posting by which a purchase earned.
fn earned_by(member: &Member, purchase: &str) -> Option<String> {
    let is_of = |posting: &&std::rc::Rc<pb::LedgerTransaction>| {
        posting.kind() == Kind::Earn
            && posting.source_type == PURCHASE
            && posting.source_ref == purchase
    };
    let found = member.postings.iter().find(is_of);
    found.map(|posting| posting.transaction_id.clone())
}

/// Whether anything is left of what was earned by a posting: limits may have left nothing of it, and others may have
/// taken it back.
fn can_be_taken_back(member: &mut Member, id: &str) -> bool {
    let Some(earning) = member.earnings.get(id).cloned() else {
        return false;
    };
    let (points, times) = earning.reversed;
    let original = member.lot(&earning.lot_id).original;
    times == 0 || original - points - earning.adjusted > 0
}

/// What was bought, by its places; what cost nothing earned nothing.
fn lines(purchase: &customer::Transaction) -> Vec<Line> {
    let lines = (1..).zip(&purchase.lines);
    let lines = lines.map(|(place, line): (i32, _)| Line {
        id: place.to_string(),
        weight: line.amount.as_ref().map_or(0, |amount| amount.micros),
        pieces: line.quantity.max(1),
        returned: (0, 0),
    });
    lines.filter(|line| line.weight > 0).collect()
}
