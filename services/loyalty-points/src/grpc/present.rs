//! Results as the caller sees them.

mod programs;
mod tiers;

use api::loyalty::v1 as pb;
use common::ids::CustomerId;
use common::platform::Platform;
use common::time::Timestamp;
use prost::Message as _;

use super::{limits, lines};
use crate::domain::balance::Balance;
use crate::domain::currency::Wallet;
use crate::domain::holds::{Pin, State as HoldState};
use crate::domain::lots::{Allocation, Lot, State};
use crate::domain::program::Program;
use crate::ledger::limits::applied_to;
use crate::ledger::merges::{Amounts, Moved, MovedLot, Passed, Passing};
use crate::ledger::{Posted, Reversed};
use crate::store::entries::EntryRow;
use crate::store::extensions::ExtensionRow;
use crate::store::holds::StoredHold;
use crate::store::members::Member;
use crate::store::merges::MergeRow;
use crate::store::postings::PostingRow;

pub use programs::{program, summary};
pub use tiers::{metric, tier, tier_change, tier_override};

pub fn member(member: &Member) -> pb::Member {
    let state = if member.is_closed() {
        pb::MemberState::Closed
    } else if member.survivor.is_some() {
        pb::MemberState::Merged
    } else {
        pb::MemberState::Active
    };
    pb::Member {
        program_id: member.program_id.clone(),
        customer_id: member.customer_id.to_string(),
        state: state.into(),
        enrolled_at: Some(member.enrolled_at.into()),
        merged_into: id_or_empty(member.merged_into.as_ref()),
        survivor_id: id_or_empty(member.survivor.as_ref()),
    }
}

pub fn merge(merge: &MergeRow) -> pb::MemberMerge {
    pb::MemberMerge {
        program_id: merge.program_id.clone(),
        merge_id: merge.merge_id.clone(),
        survivor_id: merge.survivor.to_string(),
        absorbed_id: merge.absorbed.to_string(),
        actor: merge.actor.clone(),
        reason: merge.reason.clone(),
        merged_at: Some(merge.merged_at.into()),
        unmerged_at: merge.unmerged_at.map(Into::into),
        unmerge_actor: merge.unmerge_actor.clone().unwrap_or_default(),
        unmerge_reason: merge.unmerge_reason.clone().unwrap_or_default(),
    }
}

pub fn moved(program: &Program, amounts: &Amounts) -> Vec<pb::MovedPoints> {
    let moved = |(wallet, moved): (&Wallet, &Moved)| pb::MovedPoints {
        points_currency: program.code_of(wallet).to_owned(),
        points: moved.points,
        debt: moved.debt,
        lots: moved.lots.iter().map(moved_lot).collect(),
    };
    amounts.iter().map(moved).collect()
}

fn moved_lot(lot: &MovedLot) -> pb::MovedLot {
    pb::MovedLot {
        from_lot_id: lot.from_lot_id.clone(),
        lot_id: lot.lot_id.clone(),
        points: lot.points,
        transaction_id: lot.posting_id.clone(),
    }
}

/// What went from one member to another beside what was asked for.
pub fn passed_on(platform: &Platform, passing: &Passing) -> Vec<pb::PassedOn> {
    let step = |step: &Passed| pb::PassedOn {
        from_customer_id: step.from.to_string(),
        to_customer_id: step.to.to_string(),
        moved: moved(&passing.program, &step.moved),
        consistency_token: token_within(platform, passing, &step.to),
    };
    passing.steps.iter().map(step).collect()
}

/// The same, as it is kept to be told again.
pub fn kept_passed_on(platform: &Platform, passing: &Passing) -> Vec<u8> {
    let kept = pb::SweptMember {
        passed_on: passed_on(platform, passing),
        ..Default::default()
    };
    kept.encode_to_vec()
}

/// What was kept of it.
pub fn told_passed_on(kept: &[u8]) -> Result<Vec<pb::PassedOn>, common::Error> {
    let told = pb::SweptMember::decode(kept);
    let told = told.map_err(|error| common::Error::Internal(format!("stored run: {error}")))?;
    Ok(told.passed_on)
}

/// That of who was asked, where the posting is in another one's ledger.
pub fn token_of_asked(platform: &Platform, passing: &Passing) -> String {
    token_within(platform, passing, &passing.asked)
}

/// What will not have been leaves nothing to wait for.
fn token_within(platform: &Platform, passing: &Passing, customer_id: &CustomerId) -> String {
    let revision = passing.revisions.get(customer_id);
    revision.map_or_else(String::new, |revision| {
        platform.token(customer_id, *revision)
    })
}

fn id_or_empty(customer_id: Option<&CustomerId>) -> String {
    customer_id.map(CustomerId::to_string).unwrap_or_default()
}

pub fn transaction(
    posting: &PostingRow,
    entries: &[EntryRow],
    currency: &str,
) -> pb::LedgerTransaction {
    let kind = match posting.kind.as_str() {
        "earn" => pb::TransactionKind::Earn,
        "redeem" => pb::TransactionKind::Redeem,
        "reverse" => pb::TransactionKind::Reverse,
        "expire" => pb::TransactionKind::Expire,
        "hold" => pb::TransactionKind::Hold,
        "capture" => pb::TransactionKind::Capture,
        "release" => pb::TransactionKind::Release,
        "adjust" => pb::TransactionKind::Adjust,
        "transfer" => pb::TransactionKind::Transfer,
        "refund" => pb::TransactionKind::Refund,
        "activate" => pb::TransactionKind::Activate,
        "cancel" => pb::TransactionKind::Cancel,
        "merge" => pb::TransactionKind::Merge,
        "unmerge" => pb::TransactionKind::Unmerge,
        _ => pb::TransactionKind::Unspecified,
    };
    let counterparty = posting.counterparty.as_ref().map(CustomerId::to_string);
    pb::LedgerTransaction {
        transaction_id: posting.posting_id.clone(),
        program_id: posting.program_id.clone(),
        customer_id: posting.customer_id.to_string(),
        kind: kind.into(),
        points: posting.points,
        entries: entries.iter().map(entry).collect(),
        source_type: posting.source_type.clone().unwrap_or_default(),
        source_ref: posting.source_ref.clone().unwrap_or_default(),
        rule: posting.rule.clone().unwrap_or_default(),
        reason: posting.reason.clone(),
        reverses_transaction_id: posting.reverses.clone().unwrap_or_default(),
        occurred_at: Some(posting.occurred_at.into()),
        posted_at: Some(posting.posted_at.into()),
        revision: posting.revision,
        reason_code: posting.reason_code.clone().unwrap_or_default(),
        counterparty_customer_id: counterparty.unwrap_or_default(),
        actor: posting.actor.clone().unwrap_or_default(),
        approver: posting.approver.clone().unwrap_or_default(),
        points_currency: currency.to_owned(),
        limit_cuts: limits::cuts(&applied_to(posting)),
    }
}

fn entry(entry: &EntryRow) -> pb::LedgerEntry {
    let account = match entry.account.as_str() {
        "member" => pb::LedgerAccount::Member,
        "held" => pb::LedgerAccount::Held,
        "debt" => pb::LedgerAccount::Debt,
        "issuance" => pb::LedgerAccount::Issuance,
        "redeemed" => pb::LedgerAccount::Redeemed,
        "expired" => pb::LedgerAccount::Expired,
        "clearing" => pb::LedgerAccount::Clearing,
        _ => pb::LedgerAccount::Unspecified,
    };
    pb::LedgerEntry {
        account: account.into(),
        lot_id: entry.lot_id.clone().unwrap_or_default(),
        points: entry.points,
        hold_id: entry.hold_id.clone().unwrap_or_default(),
    }
}

/// What a lot is shown with.
pub struct LotOf<'a> {
    pub program_id: &'a str,
    pub customer_id: &'a CustomerId,
    pub currency: &'a str,
    pub posting_id: &'a str,
    pub as_of: Timestamp,
}

pub fn lot(lot: &Lot, of: &LotOf<'_>) -> pb::Lot {
    let state = match lot.state(of.as_of) {
        State::Pending => pb::LotState::Pending,
        State::Active => pb::LotState::Active,
        State::Exhausted => pb::LotState::Exhausted,
        State::Expired => pb::LotState::Expired,
        State::Reversed => pb::LotState::Reversed,
        State::Cancelled => pb::LotState::Cancelled,
    };
    pb::Lot {
        lot_id: lot.lot_id.clone(),
        program_id: of.program_id.to_owned(),
        customer_id: of.customer_id.to_string(),
        transaction_id: of.posting_id.to_owned(),
        state: state.into(),
        original: lot.original,
        remaining: lot.remaining,
        consumed: lot.consumed,
        expired: lot.expired,
        reversed: lot.reversed,
        earned_at: Some(lot.earned_at.into()),
        activates_at: lot.activates_at.map(Into::into),
        expires_at: lot.expires_at.map(Into::into),
        held: lot.held,
        cancelled_at: lot.cancelled_at.map(Into::into),
        points_currency: of.currency.to_owned(),
    }
}

pub fn earned(platform: &Platform, posted: Posted) -> pb::EarnPointsResponse {
    pb::EarnPointsResponse {
        consistency_token: token(platform, &posted),
        transaction: Some(self::posted(&posted)),
        lot: made(&posted),
        balance: Some(balance(posted.balance, &posted.currency)),
    }
}

/// The lot that a posting has made, if it has made one.
fn made(posted: &Posted) -> Option<pb::Lot> {
    let posting = &posted.written.posting;
    let of = LotOf {
        program_id: &posting.program_id,
        customer_id: &posting.customer_id,
        currency: &posted.currency,
        posting_id: &posting.posting_id,
        as_of: posting.posted_at,
    };
    posted.written.lots.first().map(|made| lot(made, &of))
}

pub fn redeemed(platform: &Platform, posted: Posted) -> pb::RedeemPointsResponse {
    pb::RedeemPointsResponse {
        consistency_token: token(platform, &posted),
        transaction: Some(self::posted(&posted)),
        allocations: allocations(posted.written.taken),
        balance: Some(balance(posted.balance, &posted.currency)),
    }
}

pub fn reversed(platform: &Platform, reversed: Reversed) -> pb::ReverseTransactionResponse {
    let Reversed {
        posted,
        restored,
        expired,
        lines: of_earning,
        passing,
    } = reversed;
    let (consistency_token, passed_on) = match &passing {
        None => (token(platform, &posted), Vec::new()),
        Some(passing) => (
            token_of_asked(platform, passing),
            passed_on(platform, passing),
        ),
    };
    pb::ReverseTransactionResponse {
        restored: allocations(restored),
        expired,
        consistency_token,
        passed_on,
        transaction: Some(self::posted(&posted)),
        recovered: allocations(posted.written.taken),
        debt_incurred: posted.written.debt_incurred,
        balance: Some(balance(posted.balance, &posted.currency)),
        lines: of_earning.into_iter().map(lines::present).collect(),
    }
}

pub fn hold(stored: &StoredHold, currency: &str) -> pb::Hold {
    let hold = &stored.hold;
    let state = match hold.state {
        HoldState::Authorized => pb::HoldState::Authorized,
        HoldState::Captured => pb::HoldState::Captured,
        HoldState::Voided => pb::HoldState::Voided,
        HoldState::Expired => pb::HoldState::Expired,
    };
    let pin = |pin: &Pin| pb::HeldLot {
        lot_id: pin.lot_id.clone(),
        points: pin.points,
        held: pin.held,
        captured: pin.captured,
        released: pin.released,
    };
    pb::Hold {
        hold_id: hold.hold_id.clone(),
        program_id: stored.program_id.clone(),
        customer_id: stored.customer_id.to_string(),
        state: state.into(),
        points: hold.points(),
        held: hold.held(),
        captured: hold.captured(),
        released: hold.released(),
        reason: stored.reason.clone(),
        actor: stored.actor.clone().unwrap_or_default(),
        created_at: Some(hold.created_at.into()),
        expires_at: Some(hold.expires_at.into()),
        closed_at: hold.closed_at.map(Into::into),
        lots: hold.pins.iter().map(pin).collect(),
        points_currency: currency.to_owned(),
    }
}

pub fn extension(row: &ExtensionRow, currency: &str) -> pb::ExpiryExtension {
    pb::ExpiryExtension {
        program_id: row.program_id.clone(),
        customer_id: row.customer_id.to_string(),
        lot_id: row.lot_id.clone(),
        from_expires_at: Some(row.from.into()),
        to_expires_at: Some(row.to.into()),
        reason: row.reason.clone(),
        extended_at: Some(row.extended_at.into()),
        revision: row.revision,
        points_currency: currency.to_owned(),
        actor: row.actor.clone().unwrap_or_default(),
    }
}

pub fn adjusted(platform: &Platform, posted: Posted) -> pb::AdjustPointsResponse {
    pb::AdjustPointsResponse {
        consistency_token: token(platform, &posted),
        transaction: Some(self::posted(&posted)),
        lot: made(&posted),
        allocations: allocations(posted.written.taken),
        balance: Some(balance(posted.balance, &posted.currency)),
    }
}

pub fn posted(posted: &Posted) -> pb::LedgerTransaction {
    transaction(
        &posted.written.posting,
        &posted.written.entries,
        &posted.currency,
    )
}

pub fn token(platform: &Platform, posted: &Posted) -> String {
    if posted.written.revision == 0 {
        // Nothing was written.
        return String::new();
    }
    platform.token(&posted.written.posting.customer_id, posted.written.revision)
}

pub fn allocations(taken: Vec<Allocation>) -> Vec<pb::LotAllocation> {
    let allocation = |taken: Allocation| pb::LotAllocation {
        lot_id: taken.lot_id,
        points: taken.points,
        expires_at: taken.expires_at.map(Into::into),
    };
    taken.into_iter().map(allocation).collect()
}

pub fn balance(balance: Balance, currency: &str) -> pb::Balance {
    let expiry = |(expires_at, points): (Timestamp, i64)| pb::Expiry {
        expires_at: Some(expires_at.into()),
        points,
    };
    pb::Balance {
        available: balance.available,
        pending: balance.pending,
        debt: balance.debt,
        next_expiries: balance.next_expiries.into_iter().map(expiry).collect(),
        as_of: Some(balance.as_of.into()),
        held: balance.held,
        points_currency: currency.to_owned(),
    }
}

/// Ranks and numbers of days came in as 32 bits.
pub fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
