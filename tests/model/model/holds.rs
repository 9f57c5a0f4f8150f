//! Authorise, capture, void.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, TransactionKind as Kind};
use tonic::Code;

use super::member::{Hold, Lot, Member, Pin, Spending, of_hold, of_lot, on};
use super::points::spend;
use super::{DAY, Micros, Step, of};
use crate::answers::{Refusal, stamp};
use crate::operations::CALLER;

impl Step<'_> {
    pub fn authorize(
        &mut self,
        request: &pb::AuthorizeHoldRequest,
    ) -> Result<pb::AuthorizeHoldResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.open(whose, &request.points_currency)?;
        let taken = spend(member, request.points, now)?;
        let mut hold = Hold {
            id: told.hold_id.clone(),
            reason: request.reason.clone(),
            state: pb::HoldState::Authorized,
            created_at: now,
            expires_at: now + request.timeout.as_ref().map_or(7 * DAY, length),
            closed_at: None,
            pins: Vec::new(),
        };
        let mut entries = Vec::new();
        for taken in taken {
            let (lot_id, points) = (taken.lot_id, taken.points);
            let lot = member.lot(&lot_id);
            lot.consumed -= points;
            lot.held += points;
            entries.extend([of_lot(&lot_id, -points), of_hold(&hold.id, &lot_id, points)]);
            hold.pins.push(Pin {
                lot_id,
                points,
                held: points,
                captured: 0,
                released: 0,
            });
        }
        member.holds.push(hold);
        let posting = told.posting(Kind::Hold, now, &request.reason);
        let posting = member.post(pb::LedgerTransaction { entries, ..posting }, now);
        Ok(pb::AuthorizeHoldResponse {
            hold: Some(member.hold(&told.hold_id, now)?),
            transaction: Some(posting),
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
        })
    }

    pub fn capture(
        &mut self,
        request: &pb::CaptureHoldRequest,
    ) -> Result<pb::CaptureHoldResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.open_begun(whose, |it| it.has_hold(&request.hold_id))?;
        let position = open_hold(member, &request.hold_id)?;
        let held = member.holds[position].held();
        if request.points > held {
            let refusal = Refusal::new(Code::FailedPrecondition, "HOLD_EXCEEDED");
            return Err(refusal.with("held", held));
        }
        member.write_off(now, now, |_| true);
        member.lots.sort_by_key(Lot::spending_order);
        let (mut missing, mut entries) = (request.points, Vec::new());
        let (mut allocations, mut spending) = (Vec::new(), Spending::default());
        let Member { lots, holds, .. } = member;
        let hold = &mut holds[position];
        for lot in lots {
            let Some(pin) = hold.pins.iter_mut().find(|pin| pin.lot_id == lot.id) else {
                continue;
            };
            let points = missing.min(pin.held);
            if points == 0 {
                continue;
            }
            missing -= points;
            pin.held -= points;
            pin.captured += points;
            lot.held -= points;
            lot.consumed += points;
            entries.push(of_hold(&hold.id, &lot.id, -points));
            allocations.push(lot.allocation(points));
            spending.parts.push((lot.id.clone(), points, 0));
        }
        entries.push(on(Account::Redeemed, request.points));
        if request.points == held {
            hold.state = pb::HoldState::Captured;
            hold.closed_at = Some(now);
        }
        let posting = told.posting(Kind::Capture, now, &request.reason);
        let posting = member.post(pb::LedgerTransaction { entries, ..posting }, now);
        member
            .spendings
            .insert(told.transaction_id.clone(), spending);
        if request.r#final && request.points < held {
            let state = pb::HoldState::Captured;
            member.let_go(&request.hold_id, state, &request.reason, (now, now));
        }
        let passed_on = self.pass_on(whose)?;
        let member = self.find_with(whose, |it| it.has_hold(&request.hold_id))?;
        Ok(pb::CaptureHoldResponse {
            hold: Some(member.hold(&request.hold_id, now)?),
            transaction: Some(posting),
            allocations,
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
            passed_on,
        })
    }

    pub fn void(&mut self, request: &pb::VoidHoldRequest) -> Result<pb::VoidHoldResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.open_begun(whose, |it| it.has_hold(&request.hold_id))?;
        open_hold(member, &request.hold_id)?;
        let state = pb::HoldState::Voided;
        let posting = member.let_go(&request.hold_id, state, &request.reason, (now, now));
        let posting = pb::LedgerTransaction {
            transaction_id: told.transaction_id.clone(),
            revision: told.revision,
            ..posting
        };
        member.identify(Kind::Release, &posting);
        let passed_on = self.pass_on(whose)?;
        let member = self.find_with(whose, |it| it.has_hold(&request.hold_id))?;
        Ok(pb::VoidHoldResponse {
            hold: Some(member.hold(&request.hold_id, now)?),
            transaction: Some(posting),
            balance: Some(member.balance(now)),
            consistency_token: String::new(),
            passed_on,
        })
    }
}

impl Member {
    /// Gives the latest posting of a kind the identity that the answer told.
    fn identify(&mut self, kind: Kind, posting: &pb::LedgerTransaction) {
        let latest = self.postings.iter_mut().rev().find(|it| it.kind() == kind);
        *latest.expect("it was just posted") = posting.clone().into();
    }
}

/// Where a hold is that can still be captured or voided. Those that timed out were let go before.
fn open_hold(member: &Member, hold_id: &str) -> Result<usize, Refusal> {
    let position = member.holds.iter().position(|hold| hold.id == hold_id);
    let position = position.ok_or_else(|| no_such_hold(hold_id))?;
    let reason = match member.holds[position].state {
        pb::HoldState::Captured => "HOLD_CAPTURED",
        pb::HoldState::Voided => "HOLD_VOIDED",
        pb::HoldState::Expired => "HOLD_EXPIRED",
        pb::HoldState::Authorized | pb::HoldState::Unspecified => return Ok(position),
    };
    Err(Refusal::new(Code::FailedPrecondition, reason))
}

pub fn no_such_hold(hold_id: &str) -> Refusal {
    Refusal::new(Code::NotFound, "HOLD_NOT_FOUND").with("hold_id", hold_id)
}

fn length(duration: &prost_types::Duration) -> Micros {
    duration.seconds * 1_000_000 + i64::from(duration.nanos / 1_000)
}

/// As a reader sees it at an instant.
pub fn shown(member: &Member, hold: &Hold, at: Micros) -> pb::Hold {
    let mut hold = hold.clone();
    if hold.has_timed_out(at) {
        hold.state = pb::HoldState::Expired;
        hold.closed_at = Some(hold.expires_at);
        for pin in &mut hold.pins {
            pin.released += std::mem::take(&mut pin.held);
        }
    }
    hold.pins.sort_by(|a, b| a.lot_id.cmp(&b.lot_id));
    let sum = |part: fn(&Pin) -> i64| hold.pins.iter().map(part).sum();
    pb::Hold {
        hold_id: hold.id.clone(),
        program_id: member.program_id.clone(),
        customer_id: member.customer_id.clone(),
        points_currency: member.currency.clone(),
        state: hold.state.into(),
        points: sum(|pin| pin.points),
        held: sum(|pin| pin.held),
        captured: sum(|pin| pin.captured),
        released: sum(|pin| pin.released),
        reason: hold.reason.clone(),
        actor: CALLER.to_owned(),
        created_at: Some(stamp(hold.created_at)),
        expires_at: Some(stamp(hold.expires_at)),
        closed_at: hold.closed_at.map(stamp),
        lots: hold
            .pins
            .iter()
            .map(|pin| pb::HeldLot {
                lot_id: pin.lot_id.clone(),
                points: pin.points,
                held: pin.held,
                captured: pin.captured,
                released: pin.released,
            })
            .collect(),
    }
}
