//! What the replay is given, and what it tells: postings, and what has become of lots and holds.

use std::collections::BTreeMap;

use common::time::Timestamp;

use crate::domain::currency::Wallet;
use crate::domain::plan::{Account, Kind};
use crate::domain::terms::Terms;

/// A line of a posting.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The account.
    pub account: Account,
    /// The lot.
    pub lot_id: Option<&'a str>,
    /// The hold.
    pub hold_id: Option<&'a str>,
    /// Signed amount.
    pub points: i64,
}

/// A posting.
#[derive(Debug, Clone)]
pub struct Fact<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub posting_id: &'a str,
    /// The customer's revision with it.
    pub revision: i64,
    /// The currency.
    pub wallet: &'a Wallet,
    /// The posting it reverses.
    pub reverses: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// When what it is for happened.
    pub occurred_at: Timestamp,
    /// When it was written.
    pub posted_at: Timestamp,
    /// What the ledger of another system says of it, if it was taken over from one.
    pub imported: Option<Imported>,
    /// What it says of the lots that it makes, in the order of its lines; absent from older ones.
    pub terms: Option<&'a [Terms]>,
    /// When the hold that it makes times out; absent from older ones.
    pub times_out_at: Option<Timestamp>,
    /// Who asked for it.
    pub actor: Option<&'a str>,
    /// Its lines, in order.
    pub lines: &'a [Line<'a>],
}

/// What the ledger of another system says of a posting.
#[derive(Debug, Clone, Copy)]
pub struct Imported {
    /// Whether what it earns counts for the tier.
    pub qualifies: bool,
}

impl Fact<'_> {
    /// Whether an earning is taken back by it.
    pub(super) fn takes_back(&self) -> bool {
        matches!(self.kind, Kind::Reverse | Kind::Cancel)
    }

    /// Whether it takes points only from lots that are active when it is written.
    pub(super) fn spends(&self) -> bool {
        let of_active = matches!(
            self.kind,
            Kind::Redeem | Kind::Hold | Kind::Transfer | Kind::Adjust
        );
        of_active && self.imported.is_none()
    }

    /// Whether points that are missing become debt by it.
    pub(super) fn may_owe(&self) -> bool {
        let is_forced = matches!(self.kind, Kind::Redeem | Kind::Adjust) && self.imported.is_some();
        self.takes_back() || is_forced
    }
}

/// What has become of a lot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LotFacts {
    /// The posting that made it.
    pub posting_id: String,
    /// When it was earned, where the posting tells.
    pub earned_at: Option<Timestamp>,
    /// From when on and until when it could be spent when it was made, where the posting tells.
    pub terms: Option<Terms>,
    /// Points it began with.
    pub original: i64,
    /// Points left.
    pub remaining: i64,
    /// Points held.
    pub held: i64,
    /// Points spent, also on debt.
    pub consumed: i64,
    /// Points written off.
    pub expired: i64,
    /// Points taken back.
    pub reversed: i64,
    /// Points that count for the tier.
    pub qualifying: i64,
    /// When it was spent from first: by then it was active.
    pub spent_at: Option<Timestamp>,
    pub(super) taken_back: i64,
    pub(super) adjusted: i64,
}

/// What has become of what a hold has of one lot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PinFacts {
    /// Points held at first.
    pub points: i64,
    /// Points captured.
    pub captured: i64,
    /// Points let go.
    pub released: i64,
}

impl PinFacts {
    /// Points still held.
    pub fn held(&self) -> i64 {
        self.points - self.captured - self.released
    }
}

/// What has become of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldFacts {
    /// The revision of the posting that made it.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it times out, where the posting tells.
    pub expires_at: Option<Timestamp>,
    /// Why it was made.
    pub reason: String,
    /// Who asked for it.
    pub actor: Option<String>,
    /// What it has of which lots.
    pub pins: BTreeMap<String, PinFacts>,
    pub(super) last: Changed,
    pub(super) before: Option<Changed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) kind: Kind,
    pub(super) occurred_at: Timestamp,
    pub(super) posted_at: Timestamp,
    pub(super) reason: String,
}

impl HoldFacts {
    /// Adds its pins up.
    pub fn sum(&self) -> PinFacts {
        self.pins
            .values()
            .fold(PinFacts::default(), |sum, pin| PinFacts {
                points: sum.points + pin.points,
                captured: sum.captured + pin.captured,
                released: sum.released + pin.released,
            })
    }

    /// When it was closed by the postings, of one that times out at an instant, and which states that admits;
    /// `None` while it is open. What was let go in the call of a last capture was captured; postings alone do not
    /// tell that from a void at the same instant.
    pub fn closed(&self, expires_at: Timestamp) -> Option<(&'static [&'static str], Timestamp)> {
        if self.sum().held() > 0 {
            return None;
        }
        let at = self.last.occurred_at;
        let with_last = |before: &Changed| {
            before.kind == Kind::Capture
                && (before.posted_at, &before.reason) == (self.last.posted_at, &self.last.reason)
        };
        let states: &[_] = match self.last.kind {
            Kind::Release if at == expires_at => &["expired"],
            Kind::Release if self.before.as_ref().is_some_and(with_last) => &["captured", "voided"],
            Kind::Release => &["voided"],
            _ => &["captured"],
        };
        Some((states, at))
    }
}

/// What a line did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Made a lot.
    Made,
    /// Spent points of a lot.
    Spent,
    /// Gave points of a lot to another member.
    Sent,
    /// Took points of a lot by hand.
    Taken,
    /// Wrote off what an expired lot had left.
    Expired,
    /// Took back what the earning's own lot had left.
    TakenBack,
    /// Took back what of the earning's own lot had expired.
    TakenBackExpired,
    /// Made up from another lot for what of the earning was spent.
    Recovered,
    /// Became debt.
    Owed,
    /// Repaid debt from a lot.
    Repaid,
    /// Set points of a lot aside.
    Held,
    /// Spent held points.
    Captured,
    /// Let held points go.
    Released,
    /// Returned points to the lot they were spent from.
    Returned,
    /// Moved returned points on into a new lot.
    Moved,
    /// Passed debt on to another member.
    Passed,
}

/// A line in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What it did.
    pub what: What,
    /// The lot, where one is concerned.
    pub lot_id: Option<String>,
    /// The hold, where one is concerned.
    pub hold_id: Option<String>,
    /// How many points.
    pub points: i64,
    /// What the lot has left after it.
    pub remaining: Option<i64>,
}
