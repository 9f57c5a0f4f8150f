use proptest::prelude::*;

use super::*;
use crate::domain::Points;
use crate::domain::plan::fixtures::{at, lot};

fn holding(points: i64, debt: i64) -> Holding {
    Holding {
        points,
        held: 0,
        debt,
    }
}

fn spent_lot(lot_id: &str, points: i64, expires_at: Option<i64>) -> Lot {
    Lot {
        remaining: 0,
        consumed: points,
        expires_at: expires_at.map(at),
        ..lot(lot_id, points)
    }
}

fn grace(days: i64) -> Late {
    Late::Grace(TimeDelta::days(days))
}

fn parts_of(lot_id: &str, points: i64) -> Vec<(String, i64)> {
    vec![(lot_id.to_owned(), points)]
}

#[test]
fn points_return_to_a_lot_with_the_expiry_it_has_and_repay_debt() {
    let lots = vec![spent_lot("a", 100, Some(9))];
    let ids = || unreachable!("no lot is made");
    let given = (Late::Expire, ids);
    let (plan, refunded) = refund(holding(0, 30), lots, &parts_of("a", 80), given, at(8)).unwrap();
    let back = &plan.changed[0];
    assert_eq!(
        (back.remaining, back.consumed, back.expires_at),
        (50, 50, Some(at(9)))
    );
    assert_eq!((plan.after, plan.posting.points()), (holding(50, 0), 80));
    assert_eq!((refunded.restored[0].points, refunded.expired), (80, 0));
}

#[test]
fn points_of_an_expired_lot_expire_at_once_and_repay_nothing() {
    let lots = vec![spent_lot("a", 100, Some(9))];
    let given = (Late::Expire, || unreachable!("no lot is made"));
    let (plan, refunded) = refund(holding(0, 30), lots, &parts_of("a", 80), given, at(9)).unwrap();
    let back = &plan.changed[0];
    assert_eq!((back.remaining, back.consumed, back.expired), (0, 20, 80));
    assert_eq!(
        (plan.after, plan.expiry.unwrap().points()),
        (holding(0, 30), -80)
    );
    assert_eq!(refunded.expired, 80);
}

#[test]
fn grace_makes_a_lot_for_points_of_an_expired_one() {
    let lots = vec![spent_lot("a", 100, Some(9))];
    let given = (grace(5), || "b".to_owned());
    let (plan, refunded) = refund(holding(0, 30), lots, &parts_of("a", 80), given, at(9)).unwrap();
    assert!(plan.changed.is_empty() && plan.expiry.is_none());
    let made = &plan.created[0];
    assert_eq!(
        (made.original, made.remaining, made.qualifying),
        (80, 50, 0)
    );
    assert_eq!((made.earned_at, made.expires_at), (at(0), Some(at(14))));
    assert_eq!(plan.after, holding(50, 0));
    assert_eq!(refunded.restored[0].lot_id, "b");
}

proptest! {
    /// In whatever parts, and whatever has expired meanwhile, a full refund gives each lot what was taken of it.
    #[test]
    fn a_full_refund_is_exact(
        taken in prop::collection::vec((1_i64..100, prop::option::of(1_i64..10)), 1..6),
        asked in prop::collection::vec(1_i64..120, 1..8),
        owed in 0_i64..150,
        with_grace in any::<bool>(),
        day in 0_i64..12,
    ) {
        let lots: Vec<_> = taken
            .iter()
            .enumerate()
            .map(|(n, (points, expires_at))| spent_lot(&n.to_string(), *points, *expires_at))
            .collect();
        let total: i64 = taken.iter().map(|(points, _)| points).sum();
        let mut spent: Vec<_> = lots
            .iter()
            .map(|lot| Spent { lot_id: lot.lot_id.clone(), points: lot.consumed, refunded: 0 })
            .collect();
        let mut all = lots;
        let mut held = holding(0, owed);
        let (mut given, mut net, mut n) = (0, -owed, 0);
        let whole = (Extent::Whole, at(day + 1));
        let asked = asked.into_iter().map(|points| (Extent::Points(Points::parse(points).unwrap()), at(day)));
        for (extent, now) in asked.chain([whole]) {
            let points = match due(extent, &spent) {
                Ok(points) => points,
                Err(refused) => {
                    prop_assert_eq!(refused, Refused::Exceeded { reversible: total - given });
                    continue;
                }
            };
            if points == 0 {
                continue;
            }
            let parts = parts(spent.clone(), points);
            let late = if with_grace { grace(3) } else { Late::Expire };
            let ids = || { n += 1; format!("new {n}") };
            let (plan, refunded) = refund(held, all.clone(), &parts, (late, ids), now).unwrap();
            prop_assert_eq!(plan.posting.entries.iter().map(|e| e.points).sum::<i64>(), 0);
            prop_assert_eq!(plan.posting.points(), points);
            prop_assert_eq!(plan::sum(&refunded.restored), points);
            net += points + plan.expiry.as_ref().map_or(0, Posting::points);
            for (lot_id, points) in &parts {
                let of = spent.iter_mut().find(|spent| spent.lot_id == *lot_id).unwrap();
                of.refunded += points;
                prop_assert!(of.refunded <= of.points);
            }
            for changed in plan.changed {
                let stored = all.iter_mut().find(|lot| lot.lot_id == changed.lot_id);
                *stored.unwrap() = changed;
            }
            all.extend(plan.created);
            for lot in &all {
                let parts = [lot.remaining, lot.consumed, lot.expired];
                prop_assert!(parts.iter().all(|part| *part >= 0));
                prop_assert_eq!(parts.iter().sum::<i64>(), lot.original);
            }
            held = plan.after;
            prop_assert_eq!(all.iter().map(|lot| lot.remaining).sum::<i64>(), held.points);
            prop_assert_eq!(held.points - held.debt, net);
            prop_assert!(held.points == 0 || held.debt == 0);
            given += points;
        }
        prop_assert_eq!((given, left_of(&spent)), (total, 0));
    }

    #[test]
    fn parts_of_a_returned_purchase_add_up(
        total in 1_i64..1_000,
        original in 1_i64..1_000_000,
        shares in prop::collection::vec(0_i64..=1_000, 1..8),
    ) {
        let mut spent = vec![Spent { lot_id: "a".to_owned(), points: total, refunded: 0 }];
        let mut returns: Vec<_> = shares.iter().map(|share| original * share / 1_000).collect();
        returns.sort_unstable();
        returns.push(original);
        for returned in returns {
            let target = total * returned / original;
            let extent = Extent::Returned { original, returned };
            match due(extent, &spent) {
                Ok(points) => spent[0].refunded += points,
                Err(refused) => prop_assert_eq!(refused, Refused::Nothing),
            }
            prop_assert_eq!(spent[0].refunded, target);
        }
        prop_assert_eq!(left_of(&spent), 0);
    }
}
