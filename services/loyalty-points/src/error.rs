//! Why a request is refused, and the one mapping to what callers see.

use common::Refusal;
use common::ids::CustomerId;
use common::time::Timestamp;
use tonic::{Code, Status};

use crate::domain::adjust::Unapproved;
use crate::domain::currency::CurrencyCode;
use crate::domain::extension;
use crate::domain::holds;
use crate::domain::limits::{LIMITS_MAX, LimitId};
use crate::domain::lines;
use crate::domain::plan::Refused;
use crate::domain::program::ProgramId;
use crate::domain::reversal;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program.
    #[error("program {0} not found")]
    ProgramNotFound(ProgramId),
    /// The program exists already.
    #[error("program {0} already exists")]
    ProgramAlreadyExists(ProgramId),
    /// The program has no such currency.
    #[error("program {program_id} has no point currency {currency}")]
    CurrencyNotFound {
        /// The program.
        program_id: ProgramId,
        /// The currency.
        currency: CurrencyCode,
    },
    /// The customer was never announced to this service, or is deleted.
    #[error("customer {0} not found")]
    CustomerNotFound(CustomerId),
    /// The customer is no member of the program.
    #[error("customer {customer_id} is not a member of program {program_id}")]
    MemberNotFound {
        /// The program.
        program_id: ProgramId,
        /// The customer.
        customer_id: CustomerId,
    },
    /// The customer was deleted.
    #[error("member {0} is closed")]
    MemberClosed(CustomerId),
    /// Another member stands for it.
    #[error("member {customer_id} was merged: member {survivor} stands for it")]
    MemberMerged {
        /// The customer.
        customer_id: CustomerId,
        /// Who stands for it.
        survivor: CustomerId,
    },
    /// The program has no such merge.
    #[error("merge {0} not found")]
    MergeNotFound(String),
    /// The merge was undone before.
    #[error("merge {0} is undone already")]
    MergeAlreadyUndone(String),
    /// The member has no such posting.
    #[error("transaction {0} not found")]
    TransactionNotFound(String),
    /// The source has earned by this rule before.
    #[error("this source was already posted as transaction {0}")]
    SourceAlreadyPosted(String),
    /// Another row was imported under the same name.
    #[error("this row was imported before as transaction {posting_id}, with other {}", fields.join(", "))]
    ImportConflict {
        /// The posting.
        posting_id: String,
        /// What differs.
        fields: Vec<&'static str>,
    },
    /// The member has no such earning.
    #[error("the member has no earning of {source_type} {source_ref}")]
    PendingNotFound {
        /// Kind of the source.
        source_type: String,
        /// The source.
        source_ref: String,
    },
    /// The earning does not wait for an event.
    #[error("the points of transaction {0} do not wait for an event")]
    NotPending(String),
    /// The event was announced before.
    #[error("the points were already activated by transaction {0}")]
    AlreadyActivated(String),
    /// The event was called off before.
    #[error("the points were already cancelled by transaction {0}")]
    AlreadyCancelled(String),
    /// The earning was reversed before.
    #[error("transaction was already reversed by {0}")]
    AlreadyReversed(String),
    /// The return so far has its points taken back.
    #[error("nothing more is to be taken back")]
    NothingToReverse,
    /// Less is left of the earning.
    #[error("only {reversible} points are left to take back")]
    ReversalExceeded {
        /// So much.
        reversible: i64,
    },
    /// The policy lets less be taken.
    #[error("the policy lets only {reversible} points be taken back")]
    ReversalNotCovered {
        /// So much.
        reversible: i64,
    },
    /// The earning has no such line.
    #[error("line {0} not found")]
    LineNotFound(String),
    /// All of the line was returned before.
    #[error("all of line {0} was already returned")]
    LineAlreadyReversed(String),
    /// Less of the line is left.
    #[error("only {left} of line {line_id} are left to return")]
    LineExceeded {
        /// The line.
        line_id: String,
        /// So much.
        left: i64,
    },
    /// The posting is no earning.
    #[error("transaction {0} is not an earning")]
    NotReversible(String),
    /// The member has no such lot.
    #[error("lot {0} not found")]
    LotNotFound(String),
    /// The lot has expired.
    #[error("the lot has expired")]
    LotExpired,
    /// The lot expires no earlier, or never.
    #[error("the lot expires no earlier than that")]
    ExpiryNotLater,
    /// The member has no such hold.
    #[error("hold {0} not found")]
    HoldNotFound(String),
    /// The program has no such tier.
    #[error("tier {0} not found")]
    TierNotFound(String),
    /// The program has no such version of its tier policy.
    #[error("tier policy version {0} not found")]
    PolicyNotFound(i64),
    /// Another version was published than the caller knew of.
    #[error("the latest tier policy is version {latest}")]
    PolicyChanged {
        /// The latest version.
        latest: i64,
    },
    /// The latest version holds from later on.
    #[error("the latest tier policy holds from {latest} on")]
    PolicyNotLater {
        /// From when on it holds.
        latest: Timestamp,
    },
    /// The member's tier is the one earned.
    #[error("the tier of customer {0} is not overridden")]
    NotOverridden(CustomerId),
    /// The hold timed out.
    #[error("the hold has expired")]
    HoldExpired,
    /// The hold was captured.
    #[error("the hold was captured before")]
    HoldCaptured,
    /// The hold was voided.
    #[error("the hold was voided before")]
    HoldVoided,
    /// Less is held than is to be captured.
    #[error("only {held} points are held")]
    HoldExceeded {
        /// So much.
        held: i64,
    },
    /// So large an adjustment needs a second person.
    #[error("an adjustment of more than {limit} points needs an approver")]
    ApprovalRequired {
        /// From more points than this.
        limit: i64,
    },
    /// The approver is the caller.
    #[error("the approver must be somebody else than the caller")]
    SelfApproval,
    /// Fewer points can be spent than asked for.
    #[error("only {available} points can be spent")]
    InsufficientPoints {
        /// So many.
        available: i64,
    },
    /// The member would hold more than anyone may.
    #[error("the member would hold too many points")]
    PointsLimit,
    /// The program has no such limit.
    #[error("limit {0} not found")]
    LimitNotFound(LimitId),
    /// The limit was changed since the caller knew of it.
    #[error("limit {limit_id} is of version {version}")]
    LimitChanged {
        /// The limit.
        limit_id: LimitId,
        /// What it was last changed by; 0: nobody has set it.
        version: i64,
    },
    /// What the limit counts is another thing than asked for.
    #[error("limit {limit_id} counts something else: {} cannot change", fields.join(", "))]
    LimitFixed {
        /// The limit.
        limit_id: LimitId,
        /// What differs.
        fields: Vec<&'static str>,
    },
    /// The limit holds no longer.
    #[error("limit {0} has ended already")]
    LimitEnded(LimitId),
    /// As many limits hold as may.
    #[error("no more than {LIMITS_MAX} limits may hold in a program")]
    TooManyLimits,
    /// More would be earned than a limit lets.
    #[error("only {left} points are left of limit {limit_id}")]
    LimitReached {
        /// The limit.
        limit_id: LimitId,
        /// So many.
        left: i64,
        /// When its window ends; absent: never.
        ends_at: Option<Timestamp>,
    },
    /// The posting waits for its seal.
    #[error("transaction {0} is not sealed yet")]
    NotSealed(String),
    /// What is stored of the posting is not what was sealed.
    #[error("transaction {0} is not what was sealed")]
    LedgerDiverged(String),
    /// The ledger has not so many blocks.
    #[error("the ledger has only {0} blocks")]
    HeadUnknown(u64),
    /// A stored head is not the root over the blocks up to it.
    #[error("the head of {0} blocks is not what was sealed")]
    HeadDiverged(u64),
    /// What can go wrong in any service.
    #[error(transparent)]
    Platform(#[from] common::Error),
}

impl Error {
    /// Whether the request is refused for what it is, rather than failed for what happened to it.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Platform(error) if !matches!(error, common::Error::Invalid(_)))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Platform(error.into())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Insufficient { available } => Self::InsufficientPoints { available },
            Refused::TooManyPoints => Self::PointsLimit,
        }
    }
}

impl From<Unapproved> for Error {
    fn from(unapproved: Unapproved) -> Self {
        match unapproved {
            Unapproved::Missing { limit } => Self::ApprovalRequired { limit },
            Unapproved::BySelf => Self::SelfApproval,
        }
    }
}

impl From<reversal::Refused> for Error {
    fn from(refused: reversal::Refused) -> Self {
        match refused {
            reversal::Refused::Nothing => Self::NothingToReverse,
            reversal::Refused::Exceeded { reversible } => Self::ReversalExceeded { reversible },
            reversal::Refused::NotCovered { reversible } => Self::ReversalNotCovered { reversible },
        }
    }
}

impl From<lines::Refused> for Error {
    fn from(refused: lines::Refused) -> Self {
        match refused {
            lines::Refused::Unknown { line_id } => Self::LineNotFound(line_id),
            lines::Refused::Already { line_id } => Self::LineAlreadyReversed(line_id),
            lines::Refused::Exceeded { line_id, left } => Self::LineExceeded { line_id, left },
        }
    }
}

impl From<extension::Refused> for Error {
    fn from(refused: extension::Refused) -> Self {
        match refused {
            extension::Refused::Expired => Self::LotExpired,
            extension::Refused::NotLater => Self::ExpiryNotLater,
        }
    }
}

impl From<holds::Refused> for Error {
    fn from(refused: holds::Refused) -> Self {
        match refused {
            holds::Refused::Captured => Self::HoldCaptured,
            holds::Refused::Voided => Self::HoldVoided,
            holds::Refused::Expired => Self::HoldExpired,
            holds::Refused::Exceeded { held } => Self::HoldExceeded { held },
        }
    }
}

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
