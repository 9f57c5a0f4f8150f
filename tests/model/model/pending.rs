//! Points that wait for an event: activate, cancel.

use api::loyalty::v1 as pb;
use pb::TransactionKind as Kind;
use tonic::Code;

use super::member::{Member, of_lot};
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
        let whose = of(&request.program_id, &request.customer_id);
        let source = (request.source_type.as_str(), request.source_ref.as_str());
        let waiting = self.waiting(whose, source, &request.transaction_id)?;
        let mut answer = pb::ActivatePendingResponse::default();
        for (n, (place, id)) in waiting.into_iter().enumerate() {
            let told = self.told.settling(n);
            let validity = self.validity(&request.program_id, place);
            let member = &mut self.accounts(whose)?[place];
            let posting = begin(member, &id, (&told, now), &request.reason);
            let lot_id = member.earnings[&id].lot_id.clone();
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
            answer.balance = Some(member.balance(now));
        }
        Ok(answer)
    }

    pub fn cancel(
        &mut self,
        request: &pb::CancelPendingRequest,
    ) -> Result<pb::CancelPendingResponse, Refusal> {
        let now = self.now;
        let whose = of(&request.program_id, &request.customer_id);
        let source = (request.source_type.as_str(), request.source_ref.as_str());
        let waiting = self.waiting(whose, source, &request.transaction_id)?;
        let mut answer = pb::CancelPendingResponse::default();
        for (n, (place, id)) in waiting.into_iter().enumerate() {
            let told = self.told.settling(n);
            let member = &mut self.accounts(whose)?[place];
            let posting = begin(member, &id, (&told, now), &request.reason);
            let lot_id = member.earnings[&id].lot_id.clone();
            let posting = pb::LedgerTransaction {
                kind: Kind::Cancel.into(),
                reverses_transaction_id: id.clone(),
                ..posting
            };
            let all = TakeBack {
                id: &id,
                extent: None,
                policy: pb::ReversalPolicy::AllowDebt,
            };
            let taken = take_back(member, &all, posting, now)?;
            member.lot(&lot_id).cancelled_at = Some(now);
            answer.transactions.push(taken.posting);
            answer.recovered.extend(taken.recovered);
            answer.debt_incurred += taken.owed;
            answer.lots.push(member.shown_lot(&lot_id, now));
            answer.balance = Some(member.balance(now));
        }
        Ok(answer)
    }

    /// The earnings of a source that wait for their event, the first posted first: the place of each one's currency,
    /// and the posting. If there is none, why not.
    fn waiting(
        &mut self,
        whose: Of<'_>,
        (source_type, source_ref): (&str, &str),
        only: &str,
    ) -> Result<Vec<(usize, String)>, Refusal> {
        let now = self.now;
        self.stands(whose)?;
        self.notice(whose)?;
        let mut earnings = Vec::new();
        for (place, account) in self.accounts(whose)?.iter().enumerate() {
            for (id, earning) in &account.earnings {
                let (its_type, its_ref) = &earning.source;
                let is_asked_for = only.is_empty() || only == id;
                if is_asked_for
                    && (its_type.as_str(), its_ref.as_str()) == (source_type, source_ref)
                {
                    let refusal = why_settled(account, id, now);
                    earnings.push((earning.revision, place, id.clone(), refusal));
                }
            }
        }
        earnings.sort_by_key(|(revision, ..)| *revision);
        let waits = |(_, place, id, refusal): &(_, _, String, Option<_>)| {
            refusal.is_none().then(|| (*place, id.clone()))
        };
        let waiting: Vec<_> = earnings.iter().filter_map(waits).collect();
        if !waiting.is_empty() {
            return Ok(waiting);
        }
        let latest = earnings.into_iter().rev().find_map(|(.., refusal)| refusal);
        Err(latest.unwrap_or_else(|| {
            Refusal::new(Code::NotFound, "PENDING_NOT_FOUND")
                .with("source_type", source_type)
                .with("source_ref", source_ref)
        }))
    }

    /// How long points of a currency can be spent.
    fn validity(&self, program_id: &str, place: usize) -> Option<Micros> {
        self.world.programs[super::program(program_id)][place].validity
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
