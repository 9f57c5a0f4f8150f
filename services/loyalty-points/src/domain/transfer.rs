//! Transfers: points that one member gives to another.
//!
//! Invariant: what leaves one member's ledger by way of clearing arrives in the other's, in lots that can be spent
//! from and until the same instants.

use common::time::Timestamp;

use super::lots::Lot;
use super::plan::{self, Account, Holding, Kind, Plan, Posting, Refused};
use super::{POINTS_PER_MEMBER_MAX, Points};

/// Takes points out in the order of spending. `lots` are all lots with points left.
pub fn send(
    holding: Holding,
    lots: Vec<Lot>,
    points: Points,
    now: Timestamp,
) -> Result<Plan, Refused> {
    let mut plan = plan::redeem(holding, lots, points, now)?;
    plan.posting.kind = Kind::Transfer;
    // Decided like a redemption: only that somebody else can still spend the points.
    for entry in &mut plan.posting.entries {
        if entry.account == Account::Redeemed {
            entry.account = Account::Clearing;
        }
    }
    Ok(plan)
}

/// The lots that arrive: one for each that points were taken from. They do not count for the tier.
pub fn arriving(sent: &Plan, mut lot_id: impl FnMut() -> String) -> Vec<Lot> {
    let mut arriving = Vec::with_capacity(sent.taken.len());
    for taken in &sent.taken {
        let from = sent.changed.iter().find(|lot| lot.lot_id == taken.lot_id);
        let from = from.expect("a lot that was taken from has changed");
        arriving.push(Lot {
            lot_id: lot_id(),
            original: taken.points,
            remaining: taken.points,
            held: 0,
            consumed: 0,
            expired: 0,
            reversed: 0,
            qualifying: 0,
            ..from.clone()
        });
    }
    arriving
}

/// Takes lots in; debt is repaid from them first, in the order in which they arrive.
pub fn receive(holding: Holding, mut arriving: Vec<Lot>, now: Timestamp) -> Result<Plan, Refused> {
    let points: i64 = arriving.iter().map(|lot| lot.remaining).sum();
    if holding.points + holding.held + points > POINTS_PER_MEMBER_MAX {
        return Err(Refused::TooManyPoints);
    }
    let mut entries = vec![plan::entry(Account::Clearing, -points)];
    let mut debt = holding.debt;
    for lot in &mut arriving {
        entries.push(plan::lot_entry(&lot.lot_id, lot.remaining));
        entries.extend(plan::repay(lot, &mut debt));
    }
    Ok(Plan {
        posting: Posting {
            kind: Kind::Transfer,
            entries,
            occurred_at: now,
        },
        expiry: None,
        after: Holding {
            points: holding.points + points - (holding.debt - debt),
            debt,
            ..holding
        },
        created: arriving,
        changed: Vec::new(),
        taken: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::fixtures::{at, lot};

    fn holding(points: i64, debt: i64) -> Holding {
        Holding {
            points,
            held: 0,
            debt,
        }
    }

    #[test]
    fn lots_arrive_with_the_instants_they_left_with() {
        let soon = Lot {
            earned_at: at(1),
            activates_at: Some(at(2)),
            expires_at: Some(at(9)),
            ..lot("soon", 10)
        };
        let lots = vec![lot("unlimited", 10), soon];
        let sent = send(holding(20, 0), lots, Points::parse(15).unwrap(), at(3)).unwrap();
        let mut ids = ["x", "y"].into_iter().map(str::to_owned);
        let arriving = arriving(&sent, || ids.next().unwrap());
        let told: Vec<_> = arriving
            .iter()
            .map(|lot| (lot.lot_id.as_str(), lot.original, lot.qualifying))
            .collect();
        assert_eq!(told, [("x", 10, 0), ("y", 5, 0)]);
        let times = (arriving[0].earned_at, arriving[0].activates_at);
        assert_eq!(
            (times, arriving[0].expires_at),
            ((at(1), Some(at(2))), Some(at(9)))
        );
        assert_eq!(arriving[1].expires_at, None);
        let received = receive(holding(0, 12), arriving, at(3)).unwrap();
        assert_eq!(received.after, holding(3, 0));
        let left: Vec<_> = received.created.iter().map(|lot| lot.remaining).collect();
        assert_eq!(left, [0, 3]);
    }

    #[test]
    fn nobody_receives_more_than_anyone_may_hold() {
        let refused = receive(holding(POINTS_PER_MEMBER_MAX, 0), vec![lot("a", 1)], at(1));
        assert_eq!(refused, Err(Refused::TooManyPoints));
    }

    proptest! {
        #[test]
        fn what_one_gives_the_other_gets(
            sizes in prop::collection::vec((1_i64..100, 0_i64..20), 1..8),
            points in 1_i64..400,
            debt in 0_i64..200,
        ) {
            let lots: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(n, (size, day))| Lot {
                    expires_at: (*day > 0).then(|| at(*day)),
                    ..lot(&n.to_string(), *size)
                })
                .collect();
            let total = sizes.iter().map(|(size, _)| size).sum();
            let Ok(sent) = send(holding(total, 0), lots, Points::parse(points).unwrap(), at(5)) else {
                return Ok(());
            };
            let mut n = 0;
            let arriving = arriving(&sent, || { n += 1; format!("new {n}") });
            let received = receive(holding(0, debt), arriving, at(5)).unwrap();
            prop_assert_eq!((sent.posting.points(), received.posting.points()), (-points, points));
            let clearing: i64 = [&sent.posting, &received.posting]
                .into_iter()
                .flat_map(|posting| &posting.entries)
                .filter(|entry| entry.account == Account::Clearing)
                .map(|entry| entry.points)
                .sum();
            prop_assert_eq!(clearing, 0);
            for posting in [&sent.posting, &received.posting] {
                prop_assert_eq!(posting.entries.iter().map(|entry| entry.points).sum::<i64>(), 0);
            }
            for lot in sent.changed.iter().chain(&received.created) {
                prop_assert!(lot.remaining >= 0 && lot.consumed >= 0);
                prop_assert_eq!(lot.remaining + lot.consumed + lot.expired, lot.original);
            }
            let left: i64 = received.created.iter().map(|lot| lot.remaining).sum();
            prop_assert_eq!((received.after.points, received.after.debt), (left, debt - (points - left)));
            prop_assert!(left == 0 || received.after.debt == 0);
        }
    }
}
