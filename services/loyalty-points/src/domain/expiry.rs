//! Points that have expired, and points that are about to.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::lots::Lot;
use super::plan::{self, Holding, Plan};

/// Notices that one program gives at most.
pub const NOTICES_MAX: usize = 10;
/// Days ahead at most.
pub const NOTICE_DAYS_MAX: i64 = 365;

/// Writes off what has expired, as the next spending would in passing; `None` where nothing has. `lots` are all
/// lots with points left.
pub fn write_off(holding: Holding, mut lots: Vec<Lot>, now: Timestamp) -> Option<Plan> {
    let before = lots.clone();
    let (posting, points) = plan::write_off(&mut lots, now)?;
    Some(Plan {
        posting,
        expiry: None,
        created: Vec::new(),
        changed: plan::changed(&before, lots),
        taken: Vec::new(),
        after: Holding {
            points: holding.points - points,
            ..holding
        },
    })
}

/// The notice that a lot with points left is due for: of several the one with the fewest days, since a notice that
/// came late would say what the next one says. None once it has expired.
pub fn notice(days: &[i64], expires_at: Timestamp, now: Timestamp) -> Option<i64> {
    if expires_at <= now {
        return None;
    }
    let is_due = |days: &i64| expires_at <= now + TimeDelta::days(*days);
    days.iter().copied().filter(is_due).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Points;
    use crate::domain::plan::fixtures::{at, lot};

    #[test]
    fn the_nearest_notice_is_due_from_its_first_instant_until_expiry() {
        let told = |now| notice(&[30, 7], at(100), now);
        let micro = TimeDelta::microseconds(1);
        assert_eq!(told(at(70) - micro), None);
        assert_eq!(told(at(70)), Some(30));
        assert_eq!(told(at(93) - micro), Some(30));
        assert_eq!(told(at(93)), Some(7));
        assert_eq!(told(at(100) - micro), Some(7));
        assert_eq!(told(at(100)), None);
        assert_eq!(notice(&[], at(100), at(99)), None);
    }

    proptest! {
        /// Written off before or in passing: a redemption afterwards leaves the same.
        #[test]
        fn a_write_off_before_spending_changes_nothing(
            sizes in prop::collection::vec((1_i64..100, 0_i64..20), 1..8),
            points in 1_i64..200,
        ) {
            let lots: Vec<_> = sizes.iter().enumerate().map(|(n, (size, day))| Lot {
                expires_at: (*day > 0).then(|| at(*day)),
                ..lot(&n.to_string(), *size)
            }).collect();
            let total = sizes.iter().map(|(size, _)| size).sum();
            let holding = Holding { points: total, held: 0, debt: 0 };
            let points = Points::parse(points).unwrap();
            let lazily = plan::redeem(holding, lots.clone(), points, at(10));
            let apply = |lots: &[Lot], plan: &Plan| -> Vec<Lot> {
                let changed = |lot: &Lot| plan.changed.iter().find(|other| other.lot_id == lot.lot_id);
                lots.iter().map(|lot| changed(lot).unwrap_or(lot).clone()).collect()
            };
            let (before, left) = match write_off(holding, lots.clone(), at(10)) {
                Some(plan) => (plan.after, apply(&lots, &plan)),
                None => (holding, lots.clone()),
            };
            let afterwards = plan::redeem(before, left.clone(), points, at(10));
            match (lazily, afterwards) {
                (Ok(lazily), Ok(afterwards)) => {
                    prop_assert_eq!(lazily.after, afterwards.after);
                    prop_assert_eq!(&lazily.posting, &afterwards.posting);
                    prop_assert_eq!(&afterwards.expiry, &None);
                    prop_assert_eq!(apply(&lots, &lazily), apply(&left, &afterwards));
                }
                (lazily, afterwards) => prop_assert_eq!(lazily.err(), afterwards.err()),
            }
        }
    }
}
