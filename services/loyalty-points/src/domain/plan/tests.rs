//! Random ledgers: whatever is earned, spent, reversed, activated, cancelled and left to expire, the invariants hold.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::fixtures::{at, lot, reverse_whole};
use super::*;
use crate::domain::pending;

fn held(points: i64, debt: i64) -> Holding {
    Holding {
        points,
        held: 0,
        debt,
    }
}

fn points(points: i64) -> Points {
    Points::parse(points).unwrap()
}

fn earning(lot_id: &str, of: i64) -> Earn {
    Earn {
        lot_id: lot_id.to_owned(),
        wallet: Wallet::first(),
        points: points(of),
        earned_at: at(0),
        activates_at: Some(at(0)),
        expires_at: None,
    }
}

#[test]
fn overdraft_is_refused_with_what_is_available() {
    let lots = vec![
        lot("a", 5),
        Lot {
            activates_at: Some(at(9)),
            ..lot("pending", 50)
        },
    ];
    let refused = redeem(held(55, 0), lots, points(6), at(1));
    assert_eq!(refused, Err(Refused::Insufficient { available: 5 }));
}

#[test]
fn expired_points_are_written_off_when_others_are_spent() {
    let lots = vec![
        lot("a", 5),
        Lot {
            expires_at: Some(at(1)),
            ..lot("old", 50)
        },
    ];
    let plan = redeem(held(55, 0), lots, points(5), at(1)).unwrap();
    assert_eq!(plan.expiry.unwrap().points(), -50);
    assert_eq!(plan.after, held(0, 0));
}

#[test]
fn debt_is_repaid_before_anything_can_be_spent() {
    let plan = earn(held(0, 30), earning("a", 100), at(1)).unwrap();
    let lot = &plan.created[0];
    assert_eq!(
        (lot.remaining, lot.consumed, plan.after),
        (70, 30, held(70, 0))
    );
    assert_eq!(plan.posting.points(), 100);
}

#[test]
fn a_reversal_takes_its_own_lot_then_other_lots_then_makes_debt() {
    let spent = Lot {
        remaining: 10,
        consumed: 90,
        ..lot("a", 100)
    };
    let plan = reverse_whole(held(40, 0), vec![spent, lot("b", 30)], "a", at(1));
    assert_eq!(plan.after, held(0, 60));
    assert_eq!(plan.posting.points(), -100);
    assert_eq!(
        plan.taken.iter().map(|a| a.points).collect::<Vec<_>>(),
        [30]
    );
}

#[test]
fn a_reversal_of_an_expired_earning_owes_only_what_was_spent() {
    let lots = vec![Lot {
        remaining: 60,
        consumed: 40,
        expires_at: Some(at(1)),
        ..lot("a", 100)
    }];
    let plan = reverse_whole(held(60, 0), lots, "a", at(2));
    assert_eq!(plan.after, held(0, 40));
    assert_eq!((plan.changed[0].reversed, plan.changed[0].expired), (60, 0));
}

#[test]
fn nobody_holds_more_than_the_limit() {
    let refused = earn(held(POINTS_PER_MEMBER_MAX, 0), earning("a", 1), at(0));
    assert_eq!(refused, Err(Refused::TooManyPoints));
}

/// One random step; the numbers choose lots and amounts.
#[derive(Debug, Clone)]
enum Step {
    Earn {
        points: i64,
        /// Absent: on an event.
        activates_in: Option<i64>,
        lasts: Option<i64>,
        backdated: i64,
    },
    Redeem {
        points: i64,
    },
    Reverse {
        pick: usize,
    },
    Activate {
        pick: usize,
    },
    Cancel {
        pick: usize,
    },
    Wait {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let lasts = prop::option::of(1_i64..30);
    prop_oneof![
        3 => (1_i64..200, prop::option::weighted(0.7, 0_i64..10), lasts, 0_i64..20).prop_map(|(points, activates_in, lasts, backdated)| {
            Step::Earn { points, activates_in, lasts, backdated }
        }),
        3 => (1_i64..250).prop_map(|points| Step::Redeem { points }),
        1 => (0_usize..20).prop_map(|pick| Step::Reverse { pick }),
        1 => (0_usize..20).prop_map(|pick| Step::Activate { pick }),
        1 => (0_usize..20).prop_map(|pick| Step::Cancel { pick }),
        2 => (1_i64..12).prop_map(|days| Step::Wait { days }),
    ]
}

/// A member's ledger in memory: what the store would hold.
#[derive(Default)]
struct Ledger {
    lots: Vec<Lot>,
    postings: Vec<Posting>,
    reversed: Vec<String>,
    points: i64,
    debt: i64,
}

impl Ledger {
    fn open_lots(&self) -> Vec<Lot> {
        self.lots
            .iter()
            .filter(|lot| lot.remaining > 0)
            .cloned()
            .collect()
    }

    /// The lot if it waits for an event.
    fn waiting(&self, pick: usize, now: Timestamp) -> Option<Lot> {
        let lot = self.lots.get(pick)?;
        let left = if self.reversed.contains(&lot.lot_id) {
            0
        } else {
            lot.original
        };
        pending::check(lot, left, now).ok()?;
        Some(lot.clone())
    }

    fn write(&mut self, plan: Plan) {
        for changed in plan.changed {
            let stored = self
                .lots
                .iter_mut()
                .find(|lot| lot.lot_id == changed.lot_id);
            *stored.expect("lots that change exist") = changed;
        }
        self.lots.extend(plan.created);
        self.postings
            .extend(plan.expiry.into_iter().chain([plan.posting]));
        (self.points, self.debt) = (plan.after.points, plan.after.debt);
    }

    fn total(&self, account: Account) -> i64 {
        let entries = self.postings.iter().flat_map(|posting| &posting.entries);
        entries
            .filter(|entry| entry.account == account)
            .map(|entry| entry.points)
            .sum()
    }

    fn check(&self, now: Timestamp) -> Result<(), TestCaseError> {
        for posting in &self.postings {
            prop_assert_eq!(
                posting
                    .entries
                    .iter()
                    .map(|entry| entry.points)
                    .sum::<i64>(),
                0
            );
        }
        for lot in &self.lots {
            let parts = [lot.remaining, lot.consumed, lot.expired, lot.reversed];
            prop_assert!(parts.iter().all(|part| *part >= 0), "{:?}", lot);
            prop_assert_eq!(parts.iter().sum::<i64>(), lot.original);
        }
        prop_assert_eq!(
            self.lots.iter().map(|lot| lot.remaining).sum::<i64>(),
            self.points
        );
        prop_assert_eq!(self.total(Account::Member), self.points);
        prop_assert_eq!(self.total(Account::Debt), -self.debt);
        prop_assert!(self.debt >= 0 && (self.debt == 0 || self.points == 0));
        prop_assert!(lots::available(&self.lots, now) <= self.points);
        Ok(())
    }
}

proptest! {
    #[test]
    fn points_are_conserved_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut ledger = Ledger::default();
        let mut now = at(100);
        for (n, step) in steps.into_iter().enumerate() {
            let holding = held(ledger.points, ledger.debt);
            match step {
                Step::Wait { days } => now = now + TimeDelta::days(days),
                Step::Earn { points: of, activates_in, lasts, backdated } => {
                    let earned_at = now - TimeDelta::days(backdated);
                    let activates_at = activates_in.map(|days| earned_at + TimeDelta::days(days));
                    let first = activates_at.unwrap_or(earned_at);
                    let earn = Earn {
                        wallet: Wallet::first(),
                        lot_id: format!("lot {n}"),
                        points: points(of),
                        earned_at,
                        activates_at,
                        expires_at: lasts.map(|days| first + TimeDelta::days(days)),
                    };
                    ledger.write(super::earn(holding, earn, now).unwrap());
                }
                Step::Redeem { points: of } => {
                    let available = lots::available(&ledger.lots, now);
                    match redeem(holding, ledger.open_lots(), points(of), now) {
                        Ok(plan) => {
                            prop_assert!(of <= available);
                            prop_assert_eq!(sum(&plan.taken), of);
                            fefo(&plan.taken, &ledger.lots, &plan.changed, now)?;
                            ledger.write(plan);
                        }
                        Err(refused) => prop_assert_eq!(refused, Refused::Insufficient { available }),
                    }
                }
                Step::Reverse { pick } => {
                    let Some(target) = ledger.lots.get(pick).cloned() else { continue };
                    if ledger.reversed.contains(&target.lot_id) {
                        continue;
                    }
                    let mut lots = ledger.open_lots();
                    if target.remaining == 0 {
                        lots.push(target.clone());
                    }
                    let plan = reverse_whole(holding, lots, &target.lot_id, now);
                    ledger.reversed.push(target.lot_id);
                    ledger.write(plan);
                }
                Step::Activate { pick } => {
                    let Some(mut target) = ledger.waiting(pick, now) else { continue };
                    let available = lots::available(&ledger.lots, now);
                    let plan = pending::activate(holding, &mut target, (None, now));
                    prop_assert_eq!((plan.after, plan.posting.points()), (holding, 0));
                    ledger.write(plan);
                    let remaining = target.remaining;
                    ledger.lots[pick] = target;
                    prop_assert_eq!(lots::available(&ledger.lots, now), available + remaining);
                }
                Step::Cancel { pick } => {
                    let Some(target) = ledger.waiting(pick, now) else { continue };
                    let mut lots = ledger.open_lots();
                    if target.remaining == 0 {
                        lots.push(target.clone());
                    }
                    let worth = holding.points - holding.debt;
                    let mut plan = reverse_whole(holding, lots, &target.lot_id, now);
                    let written_off = plan.expiry.as_ref().map_or(0, Posting::points);
                    let cancelled = pending::cancel(&mut plan, &target, now);
                    prop_assert_eq!(cancelled.state(now), State::Cancelled);
                    prop_assert_eq!(plan.posting.points(), -target.original);
                    let after = plan.after.points - plan.after.debt;
                    prop_assert_eq!(after, worth - target.original + written_off);
                    ledger.reversed.push(target.lot_id);
                    ledger.write(plan);
                }
            }
            ledger.check(now)?;
        }
    }
}

/// No active lot that stands before one that was taken from has anything left.
fn fefo(
    taken: &[Allocation],
    before: &[Lot],
    changed: &[Lot],
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let find = |id: &str| before.iter().find(|lot| lot.lot_id == id).unwrap();
    let last = find(&taken.last().unwrap().lot_id);
    for lot in before.iter().filter(|lot| lot.state(now) == State::Active) {
        if lot.spending_order() < last.spending_order() {
            let after = changed.iter().find(|changed| changed.lot_id == lot.lot_id);
            prop_assert!(
                after.is_some_and(|after| after.remaining == 0),
                "{:?} was left",
                lot
            );
        }
    }
    Ok(())
}
