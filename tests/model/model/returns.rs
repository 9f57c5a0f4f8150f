//! Reversals of earnings and refunds of what was spent.

use api::loyalty::v1 as pb;
use pb::reverse_transaction_request::Extent;
use pb::{LedgerAccount as Account, TransactionKind as Kind};
use tonic::Code;

use super::member::{Earning, Lot, Member, of_lot, on};
use super::{DAY, Micros, Step, lines, of};
use crate::answers::Refusal;
use crate::operations::Told;
use crate::operations::purchases::PURCHASE;

type Answer = Result<pb::ReverseTransactionResponse, Refusal>;

impl Step<'_> {
    /// What a member has posted who was merged into the one that is asked is taken back in its own ledger.
    pub fn reverse(&mut self, request: &pb::ReverseTransactionRequest) -> Answer {
        let id = &request.transaction_id;
        let whose = of(&request.program_id, &request.customer_id);
        self.open_with(whose, |it| it.has_posting(id))?;
        let owners = self.behind(whose, |it| it.has_posting(id));
        let Some(owner) = owners.into_iter().next() else {
            return self.reverse_own(request);
        };
        let request = pb::ReverseTransactionRequest {
            customer_id: owner.clone(),
            ..request.clone()
        };
        let owner = of(&request.program_id, &owner);
        let mut earnings = self
            .accounts(owner)?
            .iter()
            .filter_map(|it| it.earnings.get(id));
        let earned = earnings.next().map(|earning| earning.lot_id.clone());
        let mut passed_on = Vec::new();
        if let Some(lot_id) = earned {
            passed_on.extend(self.recall((whose, owner), &lot_id)?);
        }
        let mut answer = self.reverse_own(&request)?;
        passed_on.extend(self.pass_on_earned(owner)?);
        let posting = answer.transaction.as_ref().expect("always told");
        let code = posting.points_currency.clone();
        let now = self.now;
        answer.balance = Some(self.find(whose, &code)?.balance(now));
        answer.passed_on = passed_on;
        Ok(answer)
    }

    fn reverse_own(&mut self, request: &pb::ReverseTransactionRequest) -> Answer {
        let (now, told) = (self.now, self.told);
        let id = &request.transaction_id;
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.open_begun(whose, |it| it.has_posting(id))?;
        if member.spendings.contains_key(id) {
            return refund(member, request, told, now);
        }
        if member.earnings.contains_key(id) {
            return reverse_earning(member, request, told, now);
        }
        let mut postings = member.postings.iter();
        let posting = postings.find(|posting| posting.transaction_id == *id);
        if posting.is_some_and(|posting| posting.kind() == Kind::Earn) {
            // Limits left nothing of it.
            return Err(Refusal::new(Code::FailedPrecondition, "NOTHING_TO_REVERSE"));
        }
        let refusal = if posting.is_some() {
            Refusal::new(Code::FailedPrecondition, "NOT_REVERSIBLE")
        } else {
            Refusal::new(Code::NotFound, "TRANSACTION_NOT_FOUND")
        };
        Err(refusal.with("transaction_id", id))
    }
}

/// The points to return now, of `total` of which `before` were returned and `left` still can be.
fn due(extent: Option<&Extent>, total: i64, before: i64, left: i64) -> Result<i64, Refusal> {
    match extent {
        Some(Extent::Lines(_)) => unreachable!("what lines come to is a returned part"),
        None => Ok(left),
        Some(Extent::Points(points)) if *points > left => {
            let refusal = Refusal::new(Code::FailedPrecondition, "REVERSAL_EXCEEDED");
            Err(refusal.with("reversible", left))
        }
        Some(Extent::Points(points)) => Ok(*points),
        Some(Extent::Returned(returned)) => {
            let share = i128::from(total) * amount_of(returned.returned.as_ref());
            let share = share / amount_of(returned.original.as_ref());
            let share = i64::try_from(share).expect("not more than the total");
            match (share - before).min(left) {
                ..=0 => Err(Refusal::new(Code::FailedPrecondition, "NOTHING_TO_REVERSE")),
                points => Ok(points),
            }
        }
    }
}

fn amount_of(money: Option<&api::r#type::v1::Money>) -> i128 {
    i128::from(money.expect("always given").micros)
}

fn already(latest: &str) -> Refusal {
    Refusal::new(Code::FailedPrecondition, "ALREADY_REVERSED").with("transaction_id", latest)
}

fn reverse_earning(
    member: &mut Member,
    request: &pb::ReverseTransactionRequest,
    told: &Told,
    now: Micros,
) -> Answer {
    let id = &request.transaction_id;
    let posting = reversal(&member.earnings[id], id, told, (now, &request.reason));
    let asked = TakeBack {
        id,
        extent: request.extent.as_ref(),
        policy: request.policy(),
    };
    let taken = take_back(member, &asked, posting, now)?;
    let by_lines = matches!(request.extent, Some(Extent::Lines(_)));
    let lines = member.earnings[id].lines.iter().filter(|_| by_lines);
    Ok(pb::ReverseTransactionResponse {
        transaction: Some(taken.posting),
        recovered: taken.recovered,
        debt_incurred: taken.owed,
        balance: Some(member.balance(now)),
        lines: lines.map(lines::shown).collect(),
        ..Default::default()
    })
}

/// The posting that takes an earning back, without its lines.
pub fn reversal(
    earning: &Earning,
    id: &str,
    told: &Told,
    (now, reason): (Micros, &str),
) -> pb::LedgerTransaction {
    let rule = &earning.rule;
    let (source_type, source_ref) = earning.source.clone();
    pb::LedgerTransaction {
        source_type,
        source_ref,
        rule: match earning.reversed.1 {
            0 => format!("reversal/{rule}"),
            times => format!("reversal/{rule}/{}", times + 1),
        },
        reverses_transaction_id: id.to_owned(),
        ..told.posting(Kind::Reverse, now, reason)
    }
}

/// How much of an earning is to be taken back, and where from.
pub struct TakeBack<'a> {
    pub id: &'a str,
    pub extent: Option<&'a Extent>,
    pub policy: pb::ReversalPolicy,
}

/// What that came to.
pub struct Taken {
    pub posting: pb::LedgerTransaction,
    pub recovered: Vec<pb::LotAllocation>,
    pub owed: i64,
}

/// Takes an earning back: what its lot has left, what of it has expired, then other lots, then debt.
pub fn take_back(
    member: &mut Member,
    asked: &TakeBack<'_>,
    posting: pb::LedgerTransaction,
    now: Micros,
) -> Result<Taken, Refusal> {
    let mut earning = member.earnings[asked.id].clone();
    let original = member.lot(&earning.lot_id).original;
    let (before, times) = earning.reversed;
    let left = (original - before - earning.adjusted).max(0);
    if left == 0 && times > 0 {
        return Err(already(&earning.latest));
    }
    let points = match asked.extent {
        Some(Extent::Lines(returned)) => {
            lines::give_back(&mut earning.lines, returned)?;
            let share = lines::share(&earning.lines, original);
            // Too light for a point of their own, they are returned all the same.
            (share - before).min(left).max(0)
        }
        extent => due(extent, original, before, left)?,
    };

    member.write_off(now, now, |_| true);
    let lot = member.lot(&earning.lot_id);
    let is_pending = lot.state(now) == pb::LotState::Pending;
    let of_lot_left = points.min(lot.remaining);
    let of_expired = (points - of_lot_left).min(lot.expired);
    let spent = points - of_lot_left - of_expired;
    lot.remaining -= of_lot_left;
    lot.expired -= of_expired;
    lot.reversed += of_lot_left + of_expired;
    lot.qualifying = if points == left {
        0
    } else {
        (lot.qualifying - points).max(0)
    };
    let mut recovered = member.take(spent, pb::LotState::Active, now);
    let taken: i64 = recovered.iter().map(|it| it.points).sum();
    recovered.extend(member.take(spent - taken, pb::LotState::Pending, now));
    let owed = spent - recovered.iter().map(|it| it.points).sum::<i64>();
    let covered = match asked.policy {
        pb::ReversalPolicy::PendingOnly if !is_pending => 0,
        pb::ReversalPolicy::PendingOnly => of_lot_left,
        pb::ReversalPolicy::WithinBalance => points - owed,
        pb::ReversalPolicy::AllowDebt | pb::ReversalPolicy::Unspecified => points,
    };
    let pending_only = asked.policy == pb::ReversalPolicy::PendingOnly;
    if covered < points || (pending_only && !is_pending) {
        let refusal = Refusal::new(Code::FailedPrecondition, "REVERSAL_NOT_COVERED");
        return Err(refusal.with("reversible", covered));
    }
    member.debt += owed;

    let moves = [
        on(Account::Issuance, points),
        of_lot(&earning.lot_id, -of_lot_left),
        on(Account::Expired, -of_expired),
        on(Account::Debt, -owed),
    ];
    let mut entries: Vec<_> = moves
        .into_iter()
        .filter(|entry| entry.points != 0)
        .collect();
    entries.extend(recovered.iter().map(|it| of_lot(&it.lot_id, -it.points)));
    let posting = member.post(pb::LedgerTransaction { entries, ..posting }, now);
    member.count(&earning.counted, -points);
    if earning.source.0 == PURCHASE
        && let Some(purchase) = member.bought.get_mut(&earning.source.1)
    {
        let (part, whole) = match asked.extent {
            Some(Extent::Lines(_)) => lines::returned(&earning.lines),
            Some(Extent::Returned(it)) => (
                amount_of(it.returned.as_ref()),
                amount_of(it.original.as_ref()),
            ),
            Some(Extent::Points(_)) if points < left => {
                (i128::from(before + points), i128::from(original))
            }
            _ => (1, 1),
        };
        let returned = i128::from(purchase.spend) * part / whole;
        let returned = i64::try_from(returned).expect("not more than the total");
        purchase.left = purchase.left.min(purchase.spend - returned);
    }
    earning.reversed = (before + points, times + 1);
    earning.latest.clone_from(&posting.transaction_id);
    member.earnings.insert(asked.id.to_owned(), earning);
    Ok(Taken {
        posting,
        recovered,
        owed,
    })
}

/// Gives what was spent back to its lots: what was taken last returns first.
fn refund(
    member: &mut Member,
    request: &pb::ReverseTransactionRequest,
    told: &Told,
    now: Micros,
) -> Answer {
    if let Some(Extent::Lines(returned)) = &request.extent {
        return Err(lines::unknown(&returned.lines[0].line_id));
    }
    let mut spending = member.spendings[&request.transaction_id].clone();
    let total: i64 = spending.parts.iter().map(|(_, points, _)| points).sum();
    let before: i64 = spending.parts.iter().map(|(_, _, refunded)| refunded).sum();
    if total == 0 {
        // What became debt came from no lot.
        return Err(Refusal::new(Code::FailedPrecondition, "NOTHING_TO_REVERSE"));
    }
    if before == total {
        return Err(already(&spending.latest));
    }
    let points = due(request.extent.as_ref(), total, before, total - before)?;
    let grace = (request.refund_policy() == pb::RefundPolicy::Grace)
        .then(|| now + Micros::from(request.grace_days) * DAY);

    let mut entries = vec![on(Account::Redeemed, -points)];
    let (mut missing, mut expired, mut restored) = (points, 0, Vec::new());
    for (lot_id, spent, refunded) in spending.parts.iter_mut().rev() {
        let part = missing.min(*spent - *refunded);
        if part == 0 {
            continue;
        }
        missing -= part;
        *refunded += part;
        entries.push(of_lot(lot_id, part));
        let lot = member.lot(lot_id);
        let has_expired = lot.has_expired(now);
        let is_called_off = lot.cancelled_at.is_some();
        let again_until = match grace {
            Some(until) if has_expired => Some(Some(until)),
            _ if is_called_off && !has_expired => Some(lot.expires_at),
            _ => None,
        };
        let into = if let Some(until) = again_until {
            let again = Lot {
                id: told.lot_id(restored.len()),
                posting_id: told.transaction_id.clone(),
                original: part,
                remaining: part,
                held: 0,
                consumed: 0,
                expired: 0,
                reversed: 0,
                qualifying: 0,
                activates_at: lot.activates_at.or(is_called_off.then_some(now)),
                expires_at: until,
                cancelled_at: None,
                came_from: None,
                again_of: None,
                ..lot.clone()
            };
            let id = again.id.clone();
            member.lots.push(again);
            entries.extend([of_lot(lot_id, -part), of_lot(&id, part)]);
            id
        } else {
            lot.consumed -= part;
            lot.remaining += part;
            lot_id.clone()
        };
        restored.push(member.lot(&into).allocation(part));
        if has_expired && grace.is_none() {
            expired += part;
        } else {
            entries.extend(member.repay(&into, part));
        }
    }
    spending.latest.clone_from(&told.transaction_id);
    member
        .spendings
        .insert(request.transaction_id.clone(), spending);
    let posting = pb::LedgerTransaction {
        reverses_transaction_id: request.transaction_id.clone(),
        entries,
        ..told.posting(Kind::Refund, now, &request.reason)
    };
    let posting = member.post(posting, now);
    member.write_off(now, now, |_| true);
    Ok(pb::ReverseTransactionResponse {
        transaction: Some(posting),
        balance: Some(member.balance(now)),
        restored,
        expired,
        ..Default::default()
    })
}
