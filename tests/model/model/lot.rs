//! Lots: the points of one earning.

use api::loyalty::v1 as pb;

use super::Micros;
use crate::answers::stamp;

#[derive(Debug, Clone, PartialEq)]
pub struct Lot {
    pub id: String,
    pub posting_id: String,
    pub original: i64,
    pub remaining: i64,
    pub held: i64,
    pub consumed: i64,
    pub expired: i64,
    pub reversed: i64,
    pub earned_at: Micros,
    /// Absent while it waits for an event.
    pub activates_at: Option<Micros>,
    pub expires_at: Option<Micros>,
    pub cancelled_at: Option<Micros>,
    /// Points that count for the tier.
    pub qualifying: i64,
    /// Whose lot it left, and which, where a merge brought it.
    pub came_from: Option<(String, String)>,
    /// The lot of its earning, where it is what came back of that one as another.
    pub again_of: Option<String>,
}

impl Lot {
    pub fn has_expired(&self, at: Micros) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= at)
    }

    pub fn state(&self, at: Micros) -> pb::LotState {
        let nothing_left = self.remaining + self.held == 0;
        if nothing_left && self.cancelled_at.is_some() {
            pb::LotState::Cancelled
        } else if nothing_left && self.reversed == self.original {
            pb::LotState::Reversed
        } else if nothing_left && self.expired == 0 {
            pb::LotState::Exhausted
        } else if nothing_left || self.has_expired(at) {
            pb::LotState::Expired
        } else if self.activates_at.is_none_or(|from| at < from) {
            pb::LotState::Pending
        } else {
            pb::LotState::Active
        }
    }

    /// Earliest expiry first, unlimited last, then the oldest.
    pub fn spending_order(&self) -> (Micros, Micros, String) {
        let expires_at = self.expires_at.unwrap_or(Micros::MAX);
        (expires_at, self.earned_at, self.id.clone())
    }

    pub fn allocation(&self, points: i64) -> pb::LotAllocation {
        pb::LotAllocation {
            lot_id: self.id.clone(),
            points,
            expires_at: self.expires_at.map(stamp),
        }
    }
}

pub fn is_in(lot: &Lot, state: pb::LotState, at: Micros) -> bool {
    lot.state(at) == state
}
