//! Adjustments: points given or taken by hand. They do not count for the tier.

use common::time::Timestamp;

use super::Points;
use super::lots::Lot;
use super::plan::{self, Account, Earn, Holding, Kind, Plan, Refused};

/// Who adjusts, and who else approves of it.
#[derive(Debug, Clone, Copy)]
pub struct Hands<'a> {
    /// Who asks for it.
    pub actor: &'a str,
    /// Who approves of it.
    pub approver: Option<&'a str>,
}

/// Why hands do not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unapproved {
    /// More than so many points need an approver.
    Missing {
        /// So many.
        limit: i64,
    },
    /// The approver is who asks for it.
    BySelf,
}

/// Refuses an adjustment of more points than `limit`, unless that is 0, without a second person. Nobody ever approves
/// of their own.
pub fn approve(points: Points, limit: i64, hands: Hands<'_>) -> Result<(), Unapproved> {
    match hands.approver {
        Some(approver) if approver == hands.actor => Err(Unapproved::BySelf),
        None if limit > 0 && points.get() > limit => Err(Unapproved::Missing { limit }),
        _ => Ok(()),
    }
}

/// Gives points: a lot like that of an earning, from which debt is repaid first.
pub fn credit(holding: Holding, given: Earn, now: Timestamp) -> Result<Plan, Refused> {
    let mut plan = plan::earn(holding, given, now)?;
    plan.posting.kind = Kind::Adjust;
    for lot in &mut plan.created {
        lot.qualifying = 0;
    }
    Ok(plan)
}

/// Takes points in the order of spending, within what can be spent. `lots` are all lots with points left.
pub fn debit(
    holding: Holding,
    lots: Vec<Lot>,
    points: Points,
    now: Timestamp,
) -> Result<Plan, Refused> {
    let mut plan = plan::redeem(holding, lots, points, now)?;
    plan.posting.kind = Kind::Adjust;
    // Decided like a redemption: only that the points are taken back, not spent.
    for entry in &mut plan.posting.entries {
        if entry.account == Account::Redeemed {
            entry.account = Account::Issuance;
        }
    }
    for taken in &plan.taken {
        for lot in &mut plan.changed {
            if lot.lot_id == taken.lot_id {
                lot.consumed -= taken.points;
                lot.reversed += taken.points;
            }
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::currency::Wallet;
    use crate::domain::plan::fixtures::{at, lot, reverse_whole};

    fn holding(points: i64, debt: i64) -> Holding {
        Holding {
            points,
            held: 0,
            debt,
        }
    }

    fn given(points: i64) -> Earn {
        Earn {
            lot_id: "given".to_owned(),
            wallet: Wallet::first(),
            points: Points::parse(points).unwrap(),
            earned_at: at(1),
            activates_at: Some(at(1)),
            expires_at: None,
        }
    }

    #[test]
    fn more_than_the_limit_needs_somebody_else() {
        let approved = |points, limit, approver| {
            let hands = Hands {
                actor: "ann",
                approver,
            };
            approve(Points::parse(points).unwrap(), limit, hands)
        };
        assert_eq!(approved(100, 100, None), Ok(()));
        assert_eq!(
            approved(101, 100, None),
            Err(Unapproved::Missing { limit: 100 })
        );
        assert_eq!(approved(101, 100, Some("bob")), Ok(()));
        assert_eq!(approved(101, 100, Some("ann")), Err(Unapproved::BySelf));
        assert_eq!(approved(1, 100, Some("ann")), Err(Unapproved::BySelf));
        assert_eq!(approved(1_000_000, 0, None), Ok(()));
    }

    #[test]
    fn what_is_given_repays_debt_and_does_not_count_for_the_tier() {
        let plan = credit(holding(0, 30), given(100), at(1)).unwrap();
        let lot = &plan.created[0];
        assert_eq!((lot.remaining, lot.qualifying), (70, 0));
        assert_eq!((plan.after, plan.posting.points()), (holding(70, 0), 100));
    }

    #[test]
    fn more_than_can_be_spent_is_not_taken() {
        let refused = debit(
            holding(9, 0),
            vec![lot("a", 9)],
            Points::parse(10).unwrap(),
            at(1),
        );
        assert_eq!(refused, Err(Refused::Insufficient { available: 9 }));
    }

    #[test]
    fn what_was_taken_from_an_earning_is_not_taken_back_again() {
        let points = Points::parse(30).unwrap();
        let taken = debit(holding(100, 0), vec![lot("a", 100)], points, at(1)).unwrap();
        let plan = reverse_whole(taken.after, taken.changed, "a", at(2));
        assert_eq!((plan.after, plan.posting.points()), (holding(0, 0), -70));
        assert_eq!(plan.changed[0].reversed, 100);
    }

    proptest! {
        #[test]
        fn taking_keeps_every_equation(sizes in prop::collection::vec(1_i64..100, 1..8), part in 1_i64..100) {
            let lots: Vec<_> = (0..).zip(&sizes).map(|(n, size)| Lot {
                expires_at: (n % 2 == 0).then(|| at(50 + n)),
                ..lot(&format!("lot {n}"), *size)
            }).collect();
            let total: i64 = sizes.iter().sum();
            let points = Points::parse((total * part / 100).max(1)).unwrap();
            let plan = debit(holding(total, 0), lots, points, at(1)).unwrap();
            prop_assert_eq!(plan.posting.points(), -points.get());
            prop_assert_eq!(plan.posting.entries.iter().map(|entry| entry.points).sum::<i64>(), 0);
            prop_assert_eq!(plan.after, holding(total - points.get(), 0));
            for lot in &plan.changed {
                prop_assert_eq!(lot.original, lot.remaining + lot.reversed);
                prop_assert!(lot.remaining >= 0 && lot.consumed == 0);
            }
            prop_assert_eq!(plan.changed.iter().map(|lot| lot.reversed).sum::<i64>(), points.get());
        }
    }
}
