//! How much of an earning a reversal takes back.
//!
//! Invariant: whatever parts an earning is taken back in, they never add up to more than was earned, and
//! a full return takes back exactly that.

use super::Points;
use super::lots::Lot;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that was not taken back yet.
    Whole,
    /// So many points.
    Points(Points),
    /// What belongs to the part of a purchase that was returned so far.
    Returned {
        /// Amount of the purchase; above zero.
        original: i64,
        /// Amount returned of it so far, this time included; not more than `original`.
        returned: i64,
    },
}

/// Where points may be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Only from the earning itself, and only while it is not spendable yet.
    PendingOnly,
    /// From what the member has, without making debt.
    WithinBalance,
    /// What the member does not have becomes debt.
    AllowDebt,
}

/// What was taken from an earning before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Points that reversals took back.
    pub reversed: i64,
    /// Points of its lot that adjustments took.
    pub adjusted: i64,
}

/// Part of an earning to take back.
#[derive(Debug, Clone)]
pub struct Part {
    /// The lot of the earning.
    pub lot_id: String,
    /// How many points.
    pub points: i64,
    /// What was taken before.
    pub before: Before,
    /// Where from.
    pub policy: Policy,
}

/// Why nothing is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nothing more is due.
    Nothing,
    /// Less is left to take back.
    Exceeded {
        /// So much.
        reversible: i64,
    },
    /// The policy lets less be taken.
    NotCovered {
        /// So much.
        reversible: i64,
    },
}

impl Before {
    /// What can still be taken back. Points that a refund returned to a lot taken back before may be adjusted away
    /// again: then more was taken of it than was earned, and nothing is left.
    pub fn left_of(self, lot: &Lot) -> i64 {
        (lot.original - self.reversed - self.adjusted).max(0)
    }

    /// Points that were spent and made up for by earlier reversals.
    pub fn recovered(self, lot: &Lot) -> i64 {
        self.reversed - (lot.reversed - self.adjusted)
    }
}

/// The points to take back now: for a returned part `floor(earned * returned / original)` less what was taken
/// back before.
pub fn due(extent: Extent, lot: &Lot, before: Before) -> Result<i64, Refused> {
    let reversible = before.left_of(lot);
    match extent {
        Extent::Whole => Ok(reversible),
        Extent::Points(points) if points.get() > reversible => {
            Err(Refused::Exceeded { reversible })
        }
        Extent::Points(points) => Ok(points.get()),
        Extent::Returned { original, returned } => {
            let share = i128::from(lot.original) * i128::from(returned) / i128::from(original);
            let target = i64::try_from(share).unwrap_or(lot.original);
            match (target - before.reversed).min(reversible) {
                ..=0 => Err(Refused::Nothing),
                points => Ok(points),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::fixtures::{at, lot};
    use crate::domain::plan::{Holding, reverse};

    fn holding(points: i64) -> Holding {
        Holding {
            points,
            held: 0,
            debt: 0,
        }
    }

    fn part(points: i64, policy: Policy) -> Part {
        Part {
            lot_id: "a".to_owned(),
            points,
            before: Before::default(),
            policy,
        }
    }

    #[test]
    fn a_part_is_taken_from_what_is_left_first() {
        let spent = Lot {
            remaining: 40,
            consumed: 60,
            ..lot("a", 100)
        };
        let lots = vec![spent];
        let plan = reverse(holding(40), lots, &part(30, Policy::AllowDebt), at(1)).unwrap();
        let lot = &plan.changed[0];
        assert_eq!(
            (plan.after, lot.reversed, lot.qualifying),
            (holding(10), 30, 70)
        );
    }

    #[test]
    fn a_policy_refuses_what_it_does_not_cover() {
        let spent = Lot {
            remaining: 10,
            consumed: 90,
            ..lot("a", 100)
        };
        let lots = vec![spent, lot("b", 30)];
        let within = |points| {
            reverse(
                holding(40),
                lots.clone(),
                &part(points, Policy::WithinBalance),
                at(1),
            )
        };
        assert_eq!(within(40).unwrap().after, holding(0));
        assert_eq!(within(41), Err(Refused::NotCovered { reversible: 40 }));
        let pending = Lot {
            activates_at: Some(at(5)),
            ..lot("a", 100)
        };
        let only_pending = |day| {
            let lots = vec![pending.clone()];
            reverse(holding(100), lots, &part(60, Policy::PendingOnly), at(day))
        };
        assert_eq!(only_pending(4).unwrap().after, holding(40));
        assert_eq!(only_pending(5), Err(Refused::NotCovered { reversible: 0 }));
    }

    proptest! {
        /// Whatever is spent meanwhile, the parts that belong to a growing return never take back more than
        /// the share returned, and a full return takes back all.
        #[test]
        fn a_full_return_is_exact(
            earned in 1_i64..1_000,
            original in 1_i64..1_000_000,
            shares in prop::collection::vec(0_i64..=1_000, 1..8),
            spent in 0_i64..1_000,
        ) {
            let mut lots = vec![lot("a", earned)];
            let mut held = holding(earned);
            let mut before = Before::default();
            let mut returns: Vec<_> = shares.iter().map(|share| original * share / 1_000).collect();
            returns.sort_unstable();
            returns.push(original);
            for (n, returned) in returns.into_iter().enumerate() {
                let spend = spent.min(lots[0].remaining);
                if n == 1 && spend > 0 {
                    lots[0].remaining -= spend;
                    lots[0].consumed += spend;
                    held.points -= spend;
                }
                let target = earned * returned / original;
                match due(Extent::Returned { original, returned }, &lots[0], before) {
                    Ok(points) => {
                        prop_assert_eq!(before.reversed + points, target);
                        let part = Part { before, ..part(points, Policy::AllowDebt) };
                        let plan = reverse(held, lots.clone(), &part, at(1)).unwrap();
                        prop_assert_eq!(plan.posting.entries.iter().map(|e| e.points).sum::<i64>(), 0);
                        prop_assert_eq!(plan.posting.points(), -points);
                        for changed in plan.changed {
                            let parts = [changed.remaining, changed.consumed, changed.reversed];
                            prop_assert!(parts.iter().all(|part| *part >= 0));
                            prop_assert_eq!(parts.iter().sum::<i64>(), changed.original);
                            lots[0] = changed;
                        }
                        held = plan.after;
                        before.reversed += points;
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, Refused::Nothing);
                        prop_assert_eq!(before.reversed, target);
                    }
                }
            }
            prop_assert_eq!(before.reversed, earned);
            prop_assert_eq!(lots[0].qualifying, 0);
            prop_assert_eq!(due(Extent::Whole, &lots[0], before), Ok(0));
            prop_assert!(lots[0].remaining == 0);
        }
    }
}
