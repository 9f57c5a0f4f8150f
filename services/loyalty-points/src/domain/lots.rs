//! Lots: the points of one earning, and the order in which they are spent.

use common::time::Timestamp;

use super::currency::Wallet;

/// The points of one earning.
///
/// Invariant: `original = remaining + held + consumed + expired + reversed`, all zero or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    /// Its identifier.
    pub lot_id: String,
    /// What its points are in.
    pub wallet: Wallet,
    /// Points earned.
    pub original: i64,
    /// Points left.
    pub remaining: i64,
    /// Points held.
    pub held: i64,
    /// Points spent, also on debt.
    pub consumed: i64,
    /// Points written off when it expired.
    pub expired: i64,
    /// Points taken back.
    pub reversed: i64,
    /// Points that count for the tier: all of them, or none once the earning is reversed, and in a further currency.
    pub qualifying: i64,
    /// When it was earned.
    pub earned_at: Timestamp,
    /// From when on it can be spent; absent while it waits for an event.
    pub activates_at: Option<Timestamp>,
    /// From when on it no longer can.
    pub expires_at: Option<Timestamp>,
    /// When the event was found not to come.
    pub cancelled_at: Option<Timestamp>,
}

/// What can be done with a lot at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not spendable yet.
    Pending,
    /// Spendable.
    Active,
    /// Nothing left.
    Exhausted,
    /// No longer spendable.
    Expired,
    /// Taken back whole.
    Reversed,
    /// Taken back because the event that it waited for does not come.
    Cancelled,
}

/// Points taken from one lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The lot.
    pub lot_id: String,
    /// How many.
    pub points: i64,
    /// When the lot expires.
    pub expires_at: Option<Timestamp>,
}

impl Lot {
    /// The state at an instant; a lot is spendable in `[activates_at, expires_at)`.
    pub fn state(&self, as_of: Timestamp) -> State {
        if self.remaining == 0 && self.held == 0 {
            return self.final_state();
        }
        if self.has_expired(as_of) {
            State::Expired
        } else if self
            .activates_at
            .is_none_or(|activates_at| as_of < activates_at)
        {
            State::Pending
        } else {
            State::Active
        }
    }

    fn final_state(&self) -> State {
        if self.cancelled_at.is_some() {
            State::Cancelled
        } else if self.reversed == self.original {
            State::Reversed
        } else if self.expired > 0 {
            State::Expired
        } else {
            State::Exhausted
        }
    }

    /// Whether it is past its expiry, with or without anything left.
    pub fn has_expired(&self, as_of: Timestamp) -> bool {
        self.expires_at
            .is_some_and(|expires_at| expires_at <= as_of)
    }

    /// Where it stands in the order of spending: earliest expiry first, unlimited last, then the oldest.
    pub fn spending_order(&self) -> (Timestamp, Timestamp, &str) {
        (
            self.expires_at.unwrap_or(Timestamp::MAX),
            self.earned_at,
            &self.lot_id,
        )
    }

    /// Takes up to so many points out as consumed and returns what was taken.
    fn consume(&mut self, points: i64) -> Option<Allocation> {
        let points = points.min(self.remaining);
        self.remaining -= points;
        self.consumed += points;
        (points > 0).then(|| self.allocation(points))
    }

    /// So many of its points.
    pub fn allocation(&self, points: i64) -> Allocation {
        Allocation {
            lot_id: self.lot_id.clone(),
            points,
            expires_at: self.expires_at,
        }
    }
}

/// Points that can be spent at an instant.
pub fn available(lots: &[Lot], as_of: Timestamp) -> i64 {
    lots.iter()
        .filter(|lot| lot.state(as_of) == State::Active)
        .map(|lot| lot.remaining)
        .sum()
}

/// Spends up to so many points from the lots in a state, in the order of spending.
pub fn take(lots: &mut [Lot], points: i64, from: State, as_of: Timestamp) -> Vec<Allocation> {
    lots.sort_by(|a, b| a.spending_order().cmp(&b.spending_order()));
    let mut missing = points;
    let mut taken = Vec::new();
    for lot in lots.iter_mut().filter(|lot| lot.state(as_of) == from) {
        if missing == 0 {
            break;
        }
        if let Some(allocation) = lot.consume(missing) {
            missing -= allocation.points;
            taken.push(allocation);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::fixtures::{at, lot};

    #[test]
    fn a_lot_is_spendable_from_activation_until_just_before_expiry() {
        let lot = Lot {
            activates_at: Some(at(2)),
            expires_at: Some(at(5)),
            ..lot("a", 10)
        };
        let states = [1, 2, 4, 5].map(|day| lot.state(at(day)));
        assert_eq!(
            states,
            [State::Pending, State::Active, State::Active, State::Expired]
        );
    }

    #[test]
    fn a_lot_that_waits_for_an_event_is_pending_until_it_expires() {
        let lot = Lot {
            activates_at: None,
            expires_at: Some(at(5)),
            ..lot("a", 10)
        };
        let states = [1, 4, 5].map(|day| lot.state(at(day)));
        assert_eq!(states, [State::Pending, State::Pending, State::Expired]);
    }

    #[test]
    fn spending_takes_the_earliest_expiry_then_the_oldest_and_unlimited_last() {
        let mut lots = vec![
            lot("unlimited", 5),
            Lot {
                expires_at: Some(at(20)),
                ..lot("late", 5)
            },
            Lot {
                expires_at: Some(at(10)),
                earned_at: at(2),
                ..lot("soon and young", 5)
            },
            Lot {
                expires_at: Some(at(10)),
                earned_at: at(1),
                ..lot("soon and old", 5)
            },
        ];
        let taken = take(&mut lots, 17, State::Active, at(3));
        let taken: Vec<_> = taken
            .iter()
            .map(|a| (a.lot_id.as_str(), a.points))
            .collect();
        assert_eq!(
            taken,
            [
                ("soon and old", 5),
                ("soon and young", 5),
                ("late", 5),
                ("unlimited", 2)
            ]
        );
    }
}
