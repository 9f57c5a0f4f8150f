//! What a member can spend.

use common::time::Timestamp;

use super::lots::{Lot, State};

const NEXT_EXPIRIES_MAX: usize = 10;

/// What a member can spend at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Spendable.
    pub available: i64,
    /// Spendable later.
    pub pending: i64,
    /// Held.
    pub held: i64,
    /// Owed.
    pub debt: i64,
    /// The next expiries of what is available.
    pub next_expiries: Vec<(Timestamp, i64)>,
    /// The instant.
    pub as_of: Timestamp,
}

impl Balance {
    /// Adds up lots by their state at the instant. Holds that have timed out by then have let go before: see
    /// [`super::holds::settle`].
    pub fn of<'a>(lots: impl IntoIterator<Item = &'a Lot>, debt: i64, as_of: Timestamp) -> Self {
        let (mut available, mut pending, mut held) = (0, 0, 0);
        let mut expiries = Vec::new();
        for lot in lots {
            held += lot.held;
            match lot.state(as_of) {
                State::Active => {
                    available += lot.remaining;
                    if let Some(expires_at) = lot.expires_at
                        && lot.remaining > 0
                    {
                        expiries.push((expires_at, lot.remaining));
                    }
                }
                State::Pending => pending += lot.remaining,
                State::Exhausted | State::Expired | State::Reversed | State::Cancelled => {}
            }
        }
        Self {
            available,
            pending,
            held,
            debt,
            next_expiries: next_of(expiries),
            as_of,
        }
    }
}

/// The next expiries, what expires at the same instant added up.
fn next_of(mut expiries: Vec<(Timestamp, i64)>) -> Vec<(Timestamp, i64)> {
    expiries.sort_unstable();
    expiries.dedup_by(|next, sum| {
        let same = next.0 == sum.0;
        if same {
            sum.1 += next.1;
        }
        same
    });
    expiries.truncate(NEXT_EXPIRIES_MAX);
    expiries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::fixtures::{at, lot};

    #[test]
    fn a_balance_depends_on_the_instant_alone() {
        let lots = [
            Lot {
                expires_at: Some(at(10)),
                ..lot("a", 5)
            },
            Lot {
                expires_at: Some(at(10)),
                ..lot("b", 6)
            },
            Lot {
                activates_at: Some(at(8)),
                ..lot("c", 7)
            },
        ];
        let told = |day| {
            let balance = Balance::of(&lots, 0, at(day));
            (balance.available, balance.pending, balance.next_expiries)
        };
        assert_eq!(told(1), (11, 7, vec![(at(10), 11)]));
        assert_eq!(told(8), (18, 0, vec![(at(10), 11)]));
        assert_eq!(told(10), (7, 0, vec![]));
    }
}
