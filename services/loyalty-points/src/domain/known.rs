//! Lots as they were known at an instant, before what was written later changed them.

use std::collections::{HashMap, HashSet};

use common::time::Timestamp;

use super::lots::Lot;

/// Which balance is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Instants {
    /// The instant that it is the balance of; absent means now.
    pub as_of: Option<Timestamp>,
    /// Only what was written by then counts; absent means all.
    pub posted_by: Option<Timestamp>,
}

/// What was written of a member's lots after an instant.
#[derive(Debug, Clone, Default)]
pub struct Later {
    /// Lots that were extended, with when they expired before the first time.
    pub extended: HashMap<String, Timestamp>,
    /// Lots whose event came.
    pub activated: HashSet<String>,
}

impl Later {
    /// Takes back what was written later. Only times are changed: amounts follow from entries.
    ///
    /// `expiry_of` is the program's, which gave a lot its expiry when its event came, unless the earning had given it
    /// one. One that was given the very same instant is taken for one without.
    pub fn take_back(&self, lots: &mut [Lot], expiry_of: impl Fn(Timestamp) -> Option<Timestamp>) {
        for lot in lots {
            if let Some(before) = self.extended.get(&lot.lot_id) {
                lot.expires_at = Some(*before);
            }
            if self.activated.contains(&lot.lot_id) {
                let by_program = lot.activates_at.take().and_then(&expiry_of);
                lot.expires_at = lot.expires_at.filter(|at| Some(*at) != by_program);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::plan::fixtures::{at, lot};

    fn later(extended: &[(&str, i64)], activated: &[&str]) -> Later {
        let extended = extended
            .iter()
            .map(|(id, day)| ((*id).to_owned(), at(*day)));
        Later {
            extended: extended.collect(),
            activated: activated.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    /// Activation and expiry, in days.
    fn times(lot: &Lot) -> (Option<Timestamp>, Option<Timestamp>) {
        (lot.activates_at, lot.expires_at)
    }

    #[test]
    fn what_was_not_written_later_stays() {
        let mut lots = [Lot {
            expires_at: Some(at(30)),
            ..lot("a", 5)
        }];
        let before = lots.clone();
        later(&[("b", 3)], &["c"]).take_back(&mut lots, |_| None);
        assert_eq!(lots, before);
    }

    #[test]
    fn an_extension_and_an_activation_are_taken_back_in_whatever_order_they_came() {
        let year = |from: Timestamp| Some(from + TimeDelta::days(365));
        let activated = |expiry| Lot {
            activates_at: Some(at(10)),
            expires_at: Some(at(expiry)),
            ..lot("a", 5)
        };
        // Activated on day 10, then extended from day 375; the earning gave no expiry.
        let mut lots = [activated(400)];
        later(&[("a", 375)], &["a"]).take_back(&mut lots, year);
        assert_eq!(times(&lots[0]), (None, None));
        // The earning gave day 20: extended before or after it was activated.
        let mut lots = [activated(50)];
        later(&[("a", 20)], &["a"]).take_back(&mut lots, year);
        assert_eq!(times(&lots[0]), (None, Some(at(20))));
        // Only the extension came later.
        let mut lots = [activated(50)];
        later(&[("a", 20)], &[]).take_back(&mut lots, year);
        assert_eq!(times(&lots[0]), (Some(at(10)), Some(at(20))));
    }
}
