//! Why a request is refused.

mod refused;
mod status;

use common::ids::CustomerId;
use common::time::Timestamp;

use crate::domain::currency::CurrencyCode;
use crate::domain::limits::{LIMITS_MAX, LimitId};
use crate::domain::program::ProgramId;

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

    /// Whether another transaction got in between: nothing happened, trying again is right.
    pub fn is_race(&self) -> bool {
        match self {
            Self::Platform(common::Error::Contended) => true,
            Self::Platform(common::Error::Database(error)) => common::error::is_conflict(error),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Platform(error.into())
    }
}
