//! Points that wait for an event: activate, cancel.

use api::loyalty::v1 as pb;
use pb::TransactionKind as Kind;
use tonic::Code;

use super::member::{Earning, Member, of_lot};
use super::returns::{TakeBack, take_back};
use super::{Micros, Of, Step, of};
use crate::answers::Refusal;
use crate::operations::Told;

impl Step<'_> {
    pub fn activate(
        &mut self,
        request: &pb::ActivatePendingRequest,
    ) -> Result<pb::ActivatePendingResponse, Refusal> {
        let now = self.now;
        let mut answer = pb::ActivatePendingResponse::default();
        let source = Asked {
            whose: of(&request.program_id, &request.customer_id),
            source: (&request.source_type, &request.source_ref),
            only: &request.transaction_id,
        };
        let passed_on = self.settle(source, |step, (whose, place, id), told| {
            let validity = step.validity(&request.program_id, place);
            let member = &mut step.accounts(whose)?[place];
            let posting = begin(member, id, (told, now), &request.reason);
            let lot_id = member.earnings[id].lot_id.clone();
            let lot = member.lot(&lot_id);
            lot.activates_at = Some(now);
            lot.expires_at = lot.expires_at.or(validity.map(|validity| now + validity));
            // The lines name the points, and cancel out.
            let left = lot.remaining;
            let entries = [-left, left].map(|points| of_lot(&lot_id, points));
            let entries = entries.into_iter().filter(|entry| entry.points != 0);
            let posting = pb::LedgerTransaction {
                kind: Kind::Activate.into(),
                entries: entries.collect(),
                ..posting
            };
            answer.transactions.push(member.post(posting, now));
            answer.lots.push(member.shown_lot(&lot_id, now));
            Ok(())
        })?;
        answer.balance = Some(self.balance_after(&source, &answer.transactions)?);
        answer.passed_on = passed_on;
        Ok(answer)
    }

    pub fn cancel(
        &mut self,
        request: &pb::CancelPendingRequest,
    ) -> Result<pb::CancelPendingResponse, Refusal> {
        let now = self.now;
        let mut answer = pb::CancelPendingResponse::default();
        let source = Asked {
            whose: of(&request.program_id, &request.customer_id),
            source: (&request.source_type, &request.source_ref),
            only: &request.transaction_id,
        };
        let passed_on = self.settle(source, |step, (whose, place, id), told| {
            let member = &mut step.accounts(whose)?[place];
            let posting = begin(member, id, (told, now), &request.reason);
            let lot_id = member.earnings[id].lot_id.clone();
            let posting = pb::LedgerTransaction {
                kind: Kind::Cancel.into(),
                reverses_transaction_id: id.to_owned(),
                ..posting
            };
            let all = TakeBack {
                id,
                extent: None,
                policy: pb::ReversalPolicy::AllowDebt,
            };
            let taken = take_back(member, &all, posting, now)?;
            member.lot(&lot_id).cancelled_at = Some(now);
            answer.transactions.push(taken.posting);
            answer.recovered.extend(taken.recovered);
            answer.debt_incurred += taken.owed;
            answer.lots.push(member.shown_lot(&lot_id, now));
            Ok(())
        })?;
        answer.balance = Some(self.balance_after(&source, &answer.transactions)?);
        answer.passed_on = passed_on;
        Ok(answer)
    }

    /// Settles the earnings of a source that wait for their event: the member's own, then those of members who were
    /// merged into it, by their ids, in whose ledgers they are. If there is none, why not.
    fn settle(
        &mut self,
        asked: Asked<'_>,
        mut one: impl FnMut(&mut Self, (Of<'_>, usize, &str), &Told) -> Result<(), Refusal>,
    ) -> Result<Vec<pb::PassedOn>, Refusal> {
        let root = asked.whose;
        self.stands(root)?;
        self.notice(root)?;
        let (waiting, mut refusal) = self.waiting(&asked)?;
        let mut settled = 0;
        for (place, id) in waiting {
            let told = self.told.settling(settled);
            one(self, (root, place, &id), &told)?;
            settled += 1;
        }
        let mut passed_on = Vec::new();
        let has_earned = |account: &Member| {
            let mut earnings = account.earnings.values();
            earnings.any(|earning| asked.is_of(earning))
        };
        for earner in self.behind(root, has_earned) {
            let whose = of(root.program_id, &earner);
            let (waiting, why_not) = self.waiting(&Asked { whose, ..asked })?;
            for (place, id) in &waiting {
                let lot_id = self.accounts(whose)?[*place].earnings[id].lot_id.clone();
                passed_on.extend(self.recall((root, whose), &lot_id)?);
            }
            self.notice(whose)?;
            for (place, id) in waiting {
                let told = self.told.settling(settled);
                one(self, (whose, place, &id), &told)?;
                settled += 1;
            }
            passed_on.extend(self.pass_on_earned(whose)?);
            refusal = why_not.or(refusal);
        }
        if settled > 0 {
            return Ok(passed_on);
        }
        let (source_type, source_ref) = asked.source;
        Err(refusal.unwrap_or_else(|| {
            Refusal::new(Code::NotFound, "PENDING_NOT_FOUND")
                .with("source_type", source_type)
                .with("source_ref", source_ref)
        }))
    }

    /// The earnings of a source that wait in a member's ledger, the first posted first: the place of each one's currency,
    /// and the posting. And why the last of the others does not.
    fn waiting(&mut self, asked: &Asked<'_>) -> Result<(Waiting, Option<Refusal>), Refusal> {
        let now = self.now;
        let mut earnings = Vec::new();
        for (place, account) in self.accounts(asked.whose)?.iter().enumerate() {
            for (id, earning) in &account.earnings {
                let is_asked_for = asked.only.is_empty() || asked.only == id;
                if is_asked_for && asked.is_of(earning) {
                    let refusal = why_settled(account, id, now);
                    earnings.push((earning.revision, place, id.clone(), refusal));
                }
            }
        }
        earnings.sort_by_key(|(revision, ..)| *revision);
        let waits = |(_, place, id, refusal): &(_, _, String, Option<_>)| {
            refusal.is_none().then(|| (*place, id.clone()))
        };
        let waiting = earnings.iter().filter_map(waits).collect();
        let latest = earnings.into_iter().rev().find_map(|(.., refusal)| refusal);
        Ok((waiting, latest))
    }

    /// What who was asked has then, in the currency of the last posting.
    fn balance_after(
        &mut self,
        asked: &Asked<'_>,
        postings: &[pb::LedgerTransaction],
    ) -> Result<pb::Balance, Refusal> {
        let now = self.now;
        let last = postings.last().expect("something was settled");
        Ok(self.find(asked.whose, &last.points_currency)?.balance(now))
    }

    /// How long points of a currency can be spent.
    fn validity(&self, program_id: &str, place: usize) -> Option<Micros> {
        self.world.programs[super::program(program_id)][place].validity
    }
}

/// Earnings that wait: the place of the currency, and the posting.
type Waiting = Vec<(usize, String)>;

/// What is to be settled.
#[derive(Clone, Copy)]
struct Asked<'a> {
    whose: Of<'a>,
    /// Type and reference.
    source: (&'a str, &'a str),
    /// Only this posting, unless it is empty.
    only: &'a str,
}

impl Asked<'_> {
    fn is_of(&self, earning: &Earning) -> bool {
        let (source_type, source_ref) = &earning.source;
        (source_type.as_str(), source_ref.as_str()) == self.source
    }
}

/// Why an earning cannot be settled, if it cannot.
fn why_settled(account: &Member, id: &str, now: Micros) -> Option<Refusal> {
    let earning = &account.earnings[id];
    let lots = &account.lots;
    let lot = lots.iter().find(|lot| lot.id == earning.lot_id)?;
    let (reason, by) = if lot.cancelled_at.is_some() {
        ("ALREADY_CANCELLED", earning.settled_by.as_deref())
    } else if lot.activates_at.is_some() {
        match earning.settled_by.as_deref() {
            Some(by) => ("ALREADY_ACTIVATED", Some(by)),
            None => ("NOT_PENDING", Some(id)),
        }
    } else if earning.reversed.0 == lot.original {
        ("ALREADY_REVERSED", Some(earning.latest.as_str()))
    } else if lot.has_expired(now) {
        ("LOT_EXPIRED", None)
    } else {
        return None;
    };
    let refusal = Refusal::new(Code::FailedPrecondition, reason);
    Some(match by {
        Some(by) => refusal.with("transaction_id", by),
        None => refusal,
    })
}

/// The earning is settled by this posting, and no other one.
fn begin(
    member: &mut Member,
    id: &str,
    (told, now): (&Told, Micros),
    reason: &str,
) -> pb::LedgerTransaction {
    let rule = format!("pending/{}", member.rule("direct"));
    let earning = member.earnings.get_mut(id).expect("it was found to wait");
    earning.settled_by = Some(told.transaction_id.clone());
    let (source_type, source_ref) = earning.source.clone();
    pb::LedgerTransaction {
        source_type,
        source_ref,
        rule,
        ..told.posting(Kind::Unspecified, now, reason)
    }
}
