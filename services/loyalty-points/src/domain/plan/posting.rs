//! A posting and its lines.

use common::time::Timestamp;

/// What a posting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Points earned.
    Earn,
    /// Points spent.
    Redeem,
    /// An earning taken back.
    Reverse,
    /// Expired points written off.
    Expire,
    /// Points held.
    Hold,
    /// Held points spent.
    Capture,
    /// Held points let go.
    Release,
    /// Points given or taken by hand.
    Adjust,
    /// Points given to another member, or received.
    Transfer,
    /// A redemption given back.
    Refund,
    /// Points that waited for an event become spendable.
    Activate,
    /// Points that waited for an event taken back, as it does not come.
    Cancel,
    /// All that a member has and owes, gone to the member it was merged into, or received.
    Merge,
    /// What is left of that given back, or taken back.
    Unmerge,
}

/// An account that entries move points between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The member's points.
    Member,
    /// The member's points that are held.
    Held,
    /// What the member owes: zero or negative.
    Debt,
    /// Points brought into the world: zero or negative.
    Issuance,
    /// Points spent.
    Redeemed,
    /// Points that ran out.
    Expired,
    /// Points on the way between two members.
    Clearing,
}

/// One line of a posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account it changes.
    pub account: Account,
    /// The lot whose points it moves.
    pub lot_id: Option<String>,
    /// The hold that they belong to.
    pub hold_id: Option<String>,
    /// Signed amount.
    pub points: i64,
}

/// A posting to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// What it is.
    pub kind: Kind,
    /// Its lines; they add up to zero.
    pub entries: Vec<Entry>,
    /// When what it is for happened.
    pub occurred_at: Timestamp,
}

impl Posting {
    /// What it does to the member's points less the member's debt.
    pub fn points(&self) -> i64 {
        let own = |entry: &&Entry| {
            matches!(
                entry.account,
                Account::Member | Account::Held | Account::Debt
            )
        };
        self.entries
            .iter()
            .filter(own)
            .map(|entry| entry.points)
            .sum()
    }

    /// From when on one of its lines counts in a balance of the past: points from when they were earned or let
    /// go, all else from when it was posted, since an earning may be older than the debt that it repays.
    pub fn effective_at(&self, entry: &Entry, posted_at: Timestamp) -> Timestamp {
        let earned = match entry.account {
            Account::Issuance => true,
            Account::Member => entry.points > 0,
            Account::Held
            | Account::Debt
            | Account::Redeemed
            | Account::Expired
            | Account::Clearing => false,
        };
        // An activation earns nothing anew. A hold lets go when it times out, however late that is noticed.
        if (earned && self.kind != Kind::Activate) || self.kind == Kind::Release {
            self.occurred_at.min(posted_at)
        } else {
            posted_at
        }
    }
}
