//! The one mapping to what callers see: each refusal has a reason of its own.

use common::Refusal;
use tonic::{Code, Status};

use super::Error;
use crate::domain::limits::LIMITS_MAX;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let refuse = |code, reason| Refusal::new(code, reason, &message);
        let refusal = match error {
            Error::ProgramNotFound(id) => {
                refuse(Code::NotFound, "PROGRAM_NOT_FOUND").with("program_id", id)
            }
            Error::ProgramAlreadyExists(id) => {
                refuse(Code::AlreadyExists, "PROGRAM_ALREADY_EXISTS").with("program_id", id)
            }
            Error::CurrencyNotFound {
                program_id,
                currency,
            } => refuse(Code::NotFound, "CURRENCY_NOT_FOUND")
                .with("program_id", program_id)
                .with("points_currency", currency),
            Error::CustomerNotFound(id) => {
                refuse(Code::NotFound, "CUSTOMER_NOT_FOUND").with("customer_id", id)
            }
            Error::MemberNotFound {
                program_id,
                customer_id,
            } => refuse(Code::NotFound, "MEMBER_NOT_FOUND")
                .with("program_id", program_id)
                .with("customer_id", customer_id),
            Error::MemberClosed(id) => {
                refuse(Code::FailedPrecondition, "MEMBER_CLOSED").with("customer_id", id)
            }
            Error::MemberMerged {
                customer_id,
                survivor,
            } => refuse(Code::FailedPrecondition, "MEMBER_MERGED")
                .with("customer_id", customer_id)
                .with("survivor_id", survivor),
            Error::MergeNotFound(id) => {
                refuse(Code::NotFound, "MERGE_NOT_FOUND").with("merge_id", id)
            }
            Error::MergeAlreadyUndone(id) => {
                refuse(Code::FailedPrecondition, "MERGE_ALREADY_UNDONE").with("merge_id", id)
            }
            Error::TransactionNotFound(id) => {
                refuse(Code::NotFound, "TRANSACTION_NOT_FOUND").with("transaction_id", id)
            }
            Error::SourceAlreadyPosted(id) => {
                refuse(Code::AlreadyExists, "SOURCE_ALREADY_POSTED").with("transaction_id", id)
            }
            Error::ImportConflict { posting_id, fields } => {
                refuse(Code::AlreadyExists, "IMPORT_CONFLICT")
                    .with("transaction_id", posting_id)
                    .with("fields", fields.join(","))
            }
            Error::PendingNotFound {
                source_type,
                source_ref,
            } => refuse(Code::NotFound, "PENDING_NOT_FOUND")
                .with("source_type", source_type)
                .with("source_ref", source_ref),
            Error::NotPending(id) => {
                refuse(Code::FailedPrecondition, "NOT_PENDING").with("transaction_id", id)
            }
            Error::AlreadyActivated(id) => {
                refuse(Code::FailedPrecondition, "ALREADY_ACTIVATED").with("transaction_id", id)
            }
            Error::AlreadyCancelled(id) => {
                refuse(Code::FailedPrecondition, "ALREADY_CANCELLED").with("transaction_id", id)
            }
            Error::AlreadyReversed(id) => {
                refuse(Code::FailedPrecondition, "ALREADY_REVERSED").with("transaction_id", id)
            }
            Error::NotReversible(id) => {
                refuse(Code::FailedPrecondition, "NOT_REVERSIBLE").with("transaction_id", id)
            }
            Error::NothingToReverse => refuse(Code::FailedPrecondition, "NOTHING_TO_REVERSE"),
            Error::ReversalExceeded { reversible } => {
                refuse(Code::FailedPrecondition, "REVERSAL_EXCEEDED").with("reversible", reversible)
            }
            Error::ReversalNotCovered { reversible } => {
                refuse(Code::FailedPrecondition, "REVERSAL_NOT_COVERED")
                    .with("reversible", reversible)
            }
            Error::LineNotFound(id) => refuse(Code::NotFound, "LINE_NOT_FOUND").with("line_id", id),
            Error::LineAlreadyReversed(id) => {
                refuse(Code::FailedPrecondition, "LINE_ALREADY_REVERSED").with("line_id", id)
            }
            Error::LineExceeded { line_id, left } => {
                refuse(Code::FailedPrecondition, "LINE_EXCEEDED")
                    .with("line_id", line_id)
                    .with("left", left)
            }
            Error::LotNotFound(id) => refuse(Code::NotFound, "LOT_NOT_FOUND").with("lot_id", id),
            Error::LotExpired => refuse(Code::FailedPrecondition, "LOT_EXPIRED"),
            Error::ExpiryNotLater => refuse(Code::FailedPrecondition, "EXPIRY_NOT_LATER"),
            Error::HoldNotFound(id) => refuse(Code::NotFound, "HOLD_NOT_FOUND").with("hold_id", id),
            Error::TierNotFound(name) => {
                refuse(Code::NotFound, "TIER_NOT_FOUND").with("tier", name)
            }
            Error::PolicyNotFound(version) => {
                refuse(Code::NotFound, "TIER_POLICY_NOT_FOUND").with("version", version)
            }
            Error::PolicyChanged { latest } => {
                refuse(Code::Aborted, "TIER_POLICY_CHANGED").with("latest_version", latest)
            }
            Error::PolicyNotLater { latest } => {
                refuse(Code::FailedPrecondition, "TIER_POLICY_NOT_LATER")
                    .with("effective_at", latest)
            }
            Error::NotOverridden(id) => {
                refuse(Code::FailedPrecondition, "NOT_OVERRIDDEN").with("customer_id", id)
            }
            Error::HoldExpired => refuse(Code::FailedPrecondition, "HOLD_EXPIRED"),
            Error::HoldCaptured => refuse(Code::FailedPrecondition, "HOLD_CAPTURED"),
            Error::HoldVoided => refuse(Code::FailedPrecondition, "HOLD_VOIDED"),
            Error::HoldExceeded { held } => {
                refuse(Code::FailedPrecondition, "HOLD_EXCEEDED").with("held", held)
            }
            Error::InsufficientPoints { available } => {
                refuse(Code::FailedPrecondition, "INSUFFICIENT_POINTS").with("available", available)
            }
            Error::ApprovalRequired { limit } => {
                refuse(Code::FailedPrecondition, "APPROVAL_REQUIRED").with("limit", limit)
            }
            Error::SelfApproval => refuse(Code::FailedPrecondition, "SELF_APPROVAL"),
            Error::PointsLimit => refuse(Code::OutOfRange, "POINTS_LIMIT"),
            Error::LimitNotFound(id) => {
                refuse(Code::NotFound, "LIMIT_NOT_FOUND").with("limit_id", id)
            }
            Error::LimitChanged { limit_id, version } => refuse(Code::Aborted, "LIMIT_CHANGED")
                .with("limit_id", limit_id)
                .with("version", version),
            Error::LimitFixed { limit_id, fields } => {
                refuse(Code::FailedPrecondition, "LIMIT_FIXED")
                    .with("limit_id", limit_id)
                    .with("fields", fields.join(","))
            }
            Error::LimitEnded(id) => {
                refuse(Code::FailedPrecondition, "LIMIT_ENDED").with("limit_id", id)
            }
            Error::TooManyLimits => {
                refuse(Code::FailedPrecondition, "TOO_MANY_LIMITS").with("limits_max", LIMITS_MAX)
            }
            Error::LimitReached {
                limit_id,
                left,
                ends_at,
            } => {
                let refusal = refuse(Code::FailedPrecondition, "LIMIT_REACHED")
                    .with("limit_id", limit_id)
                    .with("left", left);
                match ends_at {
                    Some(ends_at) => refusal.with("window_end", ends_at),
                    None => refusal,
                }
            }
            Error::NotSealed(id) => {
                refuse(Code::FailedPrecondition, "NOT_SEALED").with("transaction_id", id)
            }
            Error::LedgerDiverged(id) => {
                refuse(Code::DataLoss, "LEDGER_DIVERGED").with("transaction_id", id)
            }
            Error::HeadUnknown(blocks) => {
                refuse(Code::OutOfRange, "HEAD_UNKNOWN").with("blocks", blocks)
            }
            Error::HeadDiverged(blocks) => {
                refuse(Code::DataLoss, "LEDGER_DIVERGED").with("blocks", blocks)
            }
            Error::Platform(error) => return error.into(),
        };
        refusal.into_status()
    }
}
