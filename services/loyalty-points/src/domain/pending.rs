//! Points that wait for an event: they become spendable when it comes, and are taken back when it does not.
//!
//! Invariant: a lot is settled once, one way or the other.

use common::time::Timestamp;

use super::lots::Lot;
use super::plan::{self, Holding, Kind, Plan, Posting};

/// Why a lot stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It can be spent from an instant on: it never waited, or its event has come.
    Activated,
    /// Its event was called off.
    Cancelled,
    /// All of the earning was taken back.
    Reversed,
    /// It expired before its event came.
    Expired,
}

/// Refuses a lot that does not wait, or no longer. `left` is what can still be taken back of its earning.
pub fn check(lot: &Lot, left: i64, now: Timestamp) -> Result<(), Refused> {
    if lot.cancelled_at.is_some() {
        Err(Refused::Cancelled)
    } else if lot.activates_at.is_some() {
        Err(Refused::Activated)
    } else if left == 0 {
        Err(Refused::Reversed)
    } else if lot.has_expired(now) {
        Err(Refused::Expired)
    } else {
        Ok(())
    }
}

/// Makes a lot spendable from now on. It expires when the earning said, or else when `by_program` says. Its points
/// stay where they are: the lines of the posting name them and cancel out.
pub fn activate(
    holding: Holding,
    lot: &mut Lot,
    (by_program, now): (Option<Timestamp>, Timestamp),
) -> Plan {
    lot.activates_at = Some(now);
    lot.expires_at = lot.expires_at.or(by_program);
    let mut entries = Vec::new();
    if lot.remaining > 0 {
        entries.push(plan::lot_entry(&lot.lot_id, -lot.remaining));
        entries.push(plan::lot_entry(&lot.lot_id, lot.remaining));
    }
    Plan {
        posting: Posting {
            kind: Kind::Activate,
            entries,
            occurred_at: now,
        },
        expiry: None,
        created: Vec::new(),
        changed: Vec::new(),
        taken: Vec::new(),
        after: holding,
    }
}

/// Makes a cancellation of the decision to take all of a lot's earning back: what the lot has left ceases to be,
/// and what it has repaid is owed again, or taken from other lots. `lot` is as it was before: one whose points have all
/// repaid debt has nothing left to change.
pub fn cancel(reversal: &mut Plan, lot: &Lot, now: Timestamp) -> Lot {
    reversal.posting.kind = Kind::Cancel;
    let mut changed = reversal
        .changed
        .iter()
        .position(|of| of.lot_id == lot.lot_id);
    let place = *changed.get_or_insert_with(|| {
        reversal.changed.push(lot.clone());
        reversal.changed.len() - 1
    });
    let cancelled = &mut reversal.changed[place];
    cancelled.cancelled_at = Some(now);
    cancelled.clone()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Points;
    use crate::domain::currency::Wallet;
    use crate::domain::lots::State;
    use crate::domain::plan::fixtures::{at, lot, reverse_whole};
    use crate::domain::plan::{Earn, earn};

    fn waiting(points: i64) -> Lot {
        Lot {
            activates_at: None,
            ..lot("a", points)
        }
    }

    fn holding(points: i64, debt: i64) -> Holding {
        Holding {
            points,
            held: 0,
            debt,
        }
    }

    #[test]
    fn only_a_lot_that_waits_can_be_settled() {
        assert_eq!(check(&waiting(10), 10, at(1)), Ok(()));
        assert_eq!(check(&waiting(10), 0, at(1)), Err(Refused::Reversed));
        assert_eq!(check(&lot("a", 10), 10, at(1)), Err(Refused::Activated));
        let expiring = Lot {
            expires_at: Some(at(5)),
            ..waiting(10)
        };
        assert_eq!(check(&expiring, 10, at(4)), Ok(()));
        assert_eq!(check(&expiring, 10, at(5)), Err(Refused::Expired));
        let cancelled = Lot {
            cancelled_at: Some(at(1)),
            ..waiting(10)
        };
        assert_eq!(check(&cancelled, 0, at(1)), Err(Refused::Cancelled));
    }

    #[test]
    fn validity_begins_with_the_event_unless_the_earning_gave_an_expiry() {
        let activated = |mut lot: Lot| {
            let plan = activate(holding(10, 0), &mut lot, (Some(at(30)), at(3)));
            assert_eq!(plan.posting.points(), 0);
            (lot.state(at(2)), lot.state(at(3)), lot.expires_at)
        };
        assert_eq!(
            activated(waiting(10)),
            (State::Pending, State::Active, Some(at(30)))
        );
        let given = Lot {
            expires_at: Some(at(9)),
            ..waiting(10)
        };
        assert_eq!(activated(given).2, Some(at(9)));
    }

    proptest! {
        /// Earned on debt and cancelled, points leave no trace in what the member has.
        #[test]
        fn cancelled_points_never_were(
            points in 1_i64..1_000,
            debt in 0_i64..1_500,
            spent in 0_i64..500,
            counts in proptest::bool::ANY,
        ) {
            let earning = Earn {
                lot_id: "a".to_owned(),
                wallet: Wallet::first(),
                points: Points::parse(points).unwrap(),
                earned_at: at(1),
                activates_at: None,
                expires_at: None,
            };
            let before = holding(0, debt);
            let earned = earn(before, earning, at(1)).unwrap();
            // Part of the lot may have made up for points that were spent and then taken back elsewhere.
            let mut waiting = earned.created[0].clone();
            let spent = spent.min(waiting.remaining);
            waiting.remaining -= spent;
            waiting.consumed += spent;
            // In a further currency nothing counts for the tier.
            waiting.qualifying = if counts { points } else { 0 };
            let held = holding(waiting.remaining, earned.after.debt);
            let mut plan = reverse_whole(held, vec![waiting.clone()], "a", at(2));
            let cancelled = cancel(&mut plan, &waiting, at(2));
            prop_assert_eq!(plan.after, holding(0, debt + spent));
            prop_assert_eq!(plan.posting.points(), -points);
            prop_assert_eq!(plan.posting.entries.iter().map(|entry| entry.points).sum::<i64>(), 0);
            prop_assert_eq!(cancelled.state(at(1)), State::Cancelled);
            prop_assert_eq!((cancelled.remaining, cancelled.qualifying), (0, 0));
        }
    }
}
