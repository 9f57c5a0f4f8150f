//! Earn, redeem, adjust, transfer, extend.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, TransactionKind as Kind};
use tonic::Code;

use super::member::{Earning, Line, Lot, Member, Spending, of_lot, on};
use super::{Micros, Step, of};
use crate::answers::{Refusal, micros};
use crate::operations::Told;

/// The source types of the ledger's own postings.
const TRANSFER: &str = "transfer";

impl Step<'_> {
    pub fn earn(
        &mut self,
        request: &pb::EarnPointsRequest,
    ) -> Result<pb::EarnPointsResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        // A member that is none is refused before instants that make no sense together.
        let (whose, code) = (
            of(&request.program_id, &request.customer_id),
            &request.points_currency,
        );
        self.find_standing(whose, code)?;
        let earned_at = request.occurred_at.as_ref().map_or(now, micros);
        let at = request.activates_at.as_ref().map_or(earned_at, micros);
        let activates_at = (!request.activates_on_event).then(|| at.max(earned_at));
        let given = request.expires_at.as_ref().map(micros);
        let by_program = activates_at.and_then(|from| self.expiry(&request.program_id, code, from));
        let expires_at = given.or(by_program);
        let first = activates_at.unwrap_or(earned_at);
        if expires_at.is_some_and(|expires_at| expires_at <= first) {
            return Err(Refusal::invalid("expires_at"));
        }
        self.open(whose, code)?;
        if let Some(id) = &told.already_posted {
            let refusal = Refusal::new(Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
            return Err(refusal.with("transaction_id", id));
        }
        let granted = self.grant(whose, code, (request.points, earned_at))?;
        let member = self.find(whose, code)?;
        member.count(&granted.counted, granted.points);
        member
            .limited
            .insert(told.transaction_id.clone(), granted.decided);
        let qualifying = if member.is_first { granted.points } else { 0 };
        let lot = Lot {
            qualifying,
            ..new_lot(told, granted.points, (earned_at, activates_at, expires_at))
        };
        let lot_id = lot.id.clone();
        let posting = pb::LedgerTransaction {
            source_type: request.source_type.clone(),
            source_ref: request.source_ref.clone(),
            rule: member.rule("direct"),
            limit_cuts: granted.cuts,
            ..told.posting(Kind::Earn, earned_at, &request.reason)
        };
        let rule = posting.rule.clone();
        let posting = bring_in(member, lot, posting, (now, now));
        let earning = Earning {
            lot_id: lot_id.clone(),
            revision: told.revision,
            lines: request.lines.iter().map(line).collect(),
            settled_by: None,
            source: (request.source_type.clone(), request.source_ref.clone()),
            reversed: (0, 0),
            adjusted: 0,
            rule,
            counted: granted.counted,
            latest: String::new(),
        };
        member.earnings.insert(told.transaction_id.clone(), earning);
        Ok(pb::EarnPointsResponse {
            transaction: Some(posting),
            lot: Some(member.shown_lot(&lot_id, now)),
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
        })
    }

    pub fn redeem(
        &mut self,
        request: &pb::RedeemPointsRequest,
    ) -> Result<pb::RedeemPointsResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.open(whose, &request.points_currency)?;
        let allocations = spend(member, request.points, now)?;
        let posting = told.posting(Kind::Redeem, now, &request.reason);
        let entries = taken_to(Account::Redeemed, &allocations);
        let posting = member.post(pb::LedgerTransaction { entries, ..posting }, now);
        let part = |taken: &pb::LotAllocation| (taken.lot_id.clone(), taken.points, 0);
        let spending = Spending {
            parts: allocations.iter().map(part).collect(),
            latest: String::new(),
        };
        member
            .spendings
            .insert(told.transaction_id.clone(), spending);
        Ok(pb::RedeemPointsResponse {
            transaction: Some(posting),
            allocations,
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
        })
    }

    pub fn adjust(
        &mut self,
        request: &pb::AdjustPointsRequest,
    ) -> Result<pb::AdjustPointsResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let given = request.expires_at.as_ref().map(micros);
        let (whose, code) = (
            of(&request.program_id, &request.customer_id),
            &request.points_currency,
        );
        self.find_standing(whose, code)?;
        let expires_at = given.or_else(|| self.expiry(&request.program_id, code, now));
        if request.points > 0 && expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Refusal::invalid("expires_at"));
        }
        let member = self.open(whose, code)?;
        let posting = pb::LedgerTransaction {
            reason_code: request.reason_code.clone(),
            ..told.posting(Kind::Adjust, now, &request.reason)
        };
        let (mut allocations, mut lot_id) = (Vec::new(), None);
        let posting = if request.points > 0 {
            let lot = new_lot(told, request.points, (now, Some(now), expires_at));
            lot_id = Some(lot.id.clone());
            bring_in(member, lot, posting, (now, now))
        } else {
            allocations = spend(member, -request.points, now)?;
            for taken in &allocations {
                let lot = member.lot(&taken.lot_id);
                lot.consumed -= taken.points;
                lot.reversed += taken.points;
                let of_lot = |earning: &&mut Earning| earning.lot_id == taken.lot_id;
                if let Some(earning) = member.earnings.values_mut().find(of_lot) {
                    earning.adjusted += taken.points;
                }
            }
            let entries = taken_to(Account::Issuance, &allocations);
            member.post(pb::LedgerTransaction { entries, ..posting }, now)
        };
        Ok(pb::AdjustPointsResponse {
            transaction: Some(posting),
            lot: lot_id.map(|lot_id| member.shown_lot(&lot_id, now)),
            allocations,
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
        })
    }

    pub fn transfer(
        &mut self,
        request: &pb::TransferPointsRequest,
    ) -> Result<pb::TransferPointsResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let code = &request.points_currency;
        let from = of(&request.program_id, &request.customer_id);
        let to = of(&request.program_id, &request.to_customer_id);
        let mut sender = self.open(from, code)?.clone();
        self.open(to, code)?;
        let allocations = spend(&mut sender, request.points, now)?;
        let entries = taken_to(Account::Clearing, &allocations);
        let sent = pb::LedgerTransaction {
            counterparty_customer_id: request.to_customer_id.clone(),
            entries,
            ..told.posting(Kind::Transfer, now, &request.reason)
        };
        let sent = sender.post(sent, now);

        let recipient = self.find(to, code)?;
        let mut entries = vec![on(Account::Clearing, -request.points)];
        let mut lot_ids = Vec::new();
        for (n, taken) in allocations.iter().enumerate() {
            let lot_id = told.lot_id(n);
            let lot = Lot {
                id: lot_id.clone(),
                posting_id: told.received.0.clone(),
                original: taken.points,
                remaining: taken.points,
                held: 0,
                consumed: 0,
                expired: 0,
                reversed: 0,
                qualifying: 0,
                came_from: None,
                again_of: None,
                ..sender.lot(&taken.lot_id).clone()
            };
            recipient.lots.push(lot);
            entries.push(of_lot(&lot_id, taken.points));
            entries.extend(recipient.repay(&lot_id, taken.points));
            lot_ids.push(lot_id);
        }
        let received = pb::LedgerTransaction {
            transaction_id: told.received.0.clone(),
            revision: told.received.1,
            source_type: TRANSFER.to_owned(),
            source_ref: told.transaction_id.clone(),
            rule: "received".to_owned(),
            counterparty_customer_id: request.customer_id.clone(),
            entries,
            ..told.posting(Kind::Transfer, now, &request.reason)
        };
        let received = recipient.post(received, now);
        let shown = |lot_id: &String| recipient.shown_lot(lot_id, now);
        let lots = lot_ids.iter().map(shown).collect();
        let balance = Some(sender.balance(now));
        *self.find(from, code)? = sender;
        Ok(pb::TransferPointsResponse {
            transaction: Some(sent),
            received: Some(received),
            allocations,
            lots,
            balance,
            ..Default::default()
        })
    }
}

/// Takes points in the order of spending, after what has expired is written off; or tells that there are too few.
pub fn spend(
    member: &mut Member,
    points: i64,
    now: Micros,
) -> Result<Vec<pb::LotAllocation>, Refusal> {
    let available = member.available(now);
    if available < points {
        let refusal = Refusal::new(Code::FailedPrecondition, "INSUFFICIENT_POINTS");
        return Err(refusal.with("available", available));
    }
    member.write_off(now, now, |_| true);
    Ok(member.take(points, pb::LotState::Active, now))
}

pub fn taken_to(account: Account, taken: &[pb::LotAllocation]) -> Vec<pb::LedgerEntry> {
    let mut entries: Vec<_> = taken
        .iter()
        .map(|it| of_lot(&it.lot_id, -it.points))
        .collect();
    entries.push(on(account, taken.iter().map(|it| it.points).sum()));
    entries
}

pub fn new_lot(told: &Told, points: i64, times: (Micros, Option<Micros>, Option<Micros>)) -> Lot {
    let (earned_at, activates_at, expires_at) = times;
    Lot {
        id: told.lot_id(0),
        posting_id: told.transaction_id.clone(),
        original: points,
        remaining: points,
        held: 0,
        consumed: 0,
        expired: 0,
        reversed: 0,
        earned_at,
        activates_at,
        expires_at,
        cancelled_at: None,
        qualifying: 0,
        came_from: None,
        again_of: None,
    }
}

fn line(line: &pb::EarnedLine) -> Line {
    Line {
        id: line.line_id.clone(),
        weight: line.weight,
        pieces: line.quantity.max(1),
        returned: (0, 0),
    }
}

/// Adds a new lot. Debt is repaid from it, unless it had expired before that is settled: then it is written off at once.
pub fn bring_in(
    member: &mut Member,
    lot: Lot,
    posting: pb::LedgerTransaction,
    (settled, now): (Micros, Micros),
) -> pb::LedgerTransaction {
    let (lot_id, points) = (lot.id.clone(), lot.original);
    let had_expired = lot.has_expired(settled);
    let earned_at = lot.earned_at.min(now);
    let mut entries = vec![on(Account::Issuance, -points), of_lot(&lot_id, points)];
    member.lots.push(lot);
    if !had_expired {
        entries.extend(member.repay(&lot_id, points));
    }
    // First the points come, then they repay.
    let from = |n| if n < 2 { earned_at } else { settled };
    let from: Vec<_> = (0..entries.len()).map(from).collect();
    let posting = pb::LedgerTransaction { entries, ..posting };
    let posting = member.post_from(posting, &from, now);
    member.write_off(settled, now, |lot| lot.id == lot_id);
    posting
}
