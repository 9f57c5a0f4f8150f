//! Where a ledger diverges, and that a replay ends there.

use crate::domain::currency::Wallet;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sealed posting is gone.
    PostingMissing,
    /// It is not what was sealed.
    PostingChanged,
    /// Its lines do not add up.
    PostingUnbalanced,
    /// It escaped the seal.
    PostingUnsealed,
    /// A block does not follow.
    BlockBroken,
    /// The caller's head is none of this ledger.
    HeadUnknown,
    /// A lot is not what was posted.
    Lot,
    /// A member is not what was posted.
    Balance,
    /// A posting cannot follow from those before it.
    PostingImpossible,
    /// A hold is not what was posted.
    Hold,
    /// A tier is not what was earned.
    Tier,
    /// What is left of a purchase is not what was posted.
    Purchase,
    /// What was returned of lines is not what was posted.
    EarningLines,
    /// What is used of a limit is not what was earned.
    Limit,
}

/// Where the ledger first diverges. Empty or 0 is what does not apply.
#[derive(Debug, Default)]
pub struct Where {
    /// Place in the ledger.
    pub sequence: i64,
    /// Block.
    pub block: i64,
    /// Customer.
    pub customer_id: String,
    /// Posting.
    pub posting_id: String,
    /// Program.
    pub program_id: String,
    /// Lot.
    pub lot_id: String,
    /// Hold.
    pub hold_id: String,
    /// Earning limit.
    pub limit_id: String,
    /// Currency.
    pub wallet: Option<Wallet>,
}

/// A divergence.
#[derive(Debug)]
pub struct Divergence {
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub at: Where,
    /// Code of the currency, where one is concerned.
    pub currency: String,
    /// In words.
    pub description: String,
}

/// Why a replay ends early.
pub(super) enum Stop {
    /// With what was found.
    Diverged(Box<Divergence>),
    /// Nobody listens any more.
    CallerGone,
    /// Before it found anything.
    Failed(common::Error),
}

impl From<common::Error> for Stop {
    fn from(error: common::Error) -> Self {
        Self::Failed(error)
    }
}

/// Ends the replay with a divergence.
pub(super) fn diverged(kind: Kind, at: Where, description: impl Into<String>) -> Stop {
    let description = description.into();
    Stop::Diverged(Box::new(Divergence {
        kind,
        at,
        currency: String::new(),
        description,
    }))
}
