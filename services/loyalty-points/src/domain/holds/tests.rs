//! Random ledgers with holds: whatever is earned, spent, held, captured, let go, reversed and left to time
//! out, the invariants hold, and it makes no difference when a time-out is noticed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::balance::Balance;
use crate::domain::currency::Wallet;
use crate::domain::lots;
use crate::domain::plan::fixtures::{at, lot};
use crate::domain::plan::{Earn, earn, redeem, reverse};
use crate::domain::reversal::{self, Before, Extent, Part, Policy, due};

fn points(points: i64) -> Points {
    Points::parse(points).unwrap()
}

fn hold_of(points_held: i64, timeout_days: i64) -> Authorize {
    Authorize {
        hold_id: "h".to_owned(),
        points: points(points_held),
        timeout: TimeDelta::days(timeout_days),
    }
}

fn holding(points: i64) -> Holding {
    Holding {
        points,
        held: 0,
        debt: 0,
    }
}

#[test]
fn a_hold_pins_the_lots_that_would_be_spent_next() {
    let soon = Lot {
        expires_at: Some(at(5)),
        ..lot("soon", 30)
    };
    let lots = vec![lot("late", 100), soon];
    let (plan, hold) = authorize(holding(130), lots, hold_of(50, 1), at(1)).unwrap();
    let pins: Vec<_> = hold
        .pins
        .iter()
        .map(|pin| (pin.lot_id.as_str(), pin.held))
        .collect();
    assert_eq!(pins, [("late", 20), ("soon", 30)]);
    let after = Holding {
        points: 80,
        held: 50,
        debt: 0,
    };
    assert_eq!((plan.after, plan.posting.points()), (after, 0));
}

#[test]
fn a_hold_times_out_exactly_at_its_expiry() {
    let (_, hold) = authorize(holding(9), vec![lot("a", 9)], hold_of(9, 2), at(1)).unwrap();
    let just_before = at(3) - TimeDelta::microseconds(1);
    assert_eq!(hold.check_open(just_before), Ok(()));
    assert_eq!(hold.check_open(at(3)), Err(Refused::Expired));
    assert_eq!(hold.clone().at(just_before), hold);
    let expired = hold.at(at(8));
    assert_eq!(
        (expired.state, expired.held(), expired.released()),
        (State::Expired, 0, 9)
    );
    assert_eq!(expired.closed_at, Some(at(3)));
}

#[test]
fn capturing_more_than_is_held_is_refused() {
    let (plan, hold) = authorize(holding(9), vec![lot("a", 9)], hold_of(5, 2), at(1)).unwrap();
    let refused = capture(plan.after, plan.changed, hold, points(6), at(2));
    assert_eq!(refused.unwrap_err(), Refused::Exceeded { held: 5 });
}

#[test]
fn points_let_go_after_their_lot_expired_expire_at_once() {
    let short = Lot {
        expires_at: Some(at(3)),
        ..lot("a", 9)
    };
    let (plan, hold) = authorize(holding(9), vec![short], hold_of(9, 9), at(1)).unwrap();
    let ending = Ending {
        state: State::Voided,
        at: at(4),
    };
    let (plan, hold) = release(plan.after, plan.changed, hold, ending);
    assert_eq!(plan.after, holding(0));
    assert_eq!(plan.expiry.unwrap().points(), -9);
    assert_eq!(plan.changed[0].expired, 9);
    assert_eq!((hold.state, hold.released()), (State::Voided, 9));
}

#[test]
fn points_of_an_expired_lot_can_still_be_captured() {
    let short = Lot {
        expires_at: Some(at(3)),
        ..lot("a", 9)
    };
    let (plan, hold) = authorize(holding(9), vec![short], hold_of(9, 9), at(1)).unwrap();
    let (plan, hold) = capture(plan.after, plan.changed, hold, points(9), at(4)).unwrap();
    assert_eq!((plan.after, plan.posting.points()), (holding(0), -9));
    assert_eq!(hold.state, State::Captured);
}

#[test]
fn points_let_go_repay_debt_first() {
    let (plan, hold) = authorize(holding(9), vec![lot("a", 9)], hold_of(9, 9), at(1)).unwrap();
    let owing = Holding {
        debt: 5,
        ..plan.after
    };
    let ending = Ending {
        state: State::Voided,
        at: at(2),
    };
    let (plan, _) = release(owing, plan.changed, hold, ending);
    assert_eq!(plan.after, holding(4));
    assert_eq!(plan.posting.points(), 0);
}

/// One random step; the numbers choose lots, holds and amounts.
#[derive(Debug, Clone)]
enum Step {
    Earn {
        points: i64,
        lasts: Option<i64>,
    },
    Redeem {
        points: i64,
    },
    Reverse {
        pick: usize,
        points: i64,
    },
    Authorize {
        points: i64,
        days: i64,
    },
    Capture {
        pick: usize,
        points: i64,
        last: bool,
    },
    Void {
        pick: usize,
    },
    Notice,
    Wait {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_i64..200, prop::option::of(1_i64..20))
            .prop_map(|(points, lasts)| Step::Earn { points, lasts }),
        1 => (1_i64..150).prop_map(|points| Step::Redeem { points }),
        1 => (0_usize..20, 1_i64..150).prop_map(|(pick, points)| Step::Reverse { pick, points }),
        3 => (1_i64..150, 1_i64..15).prop_map(|(points, days)| Step::Authorize { points, days }),
        3 => (0_usize..10, 1_i64..150, any::<bool>())
            .prop_map(|(pick, points, last)| Step::Capture { pick, points, last }),
        1 => (0_usize..10).prop_map(|pick| Step::Void { pick }),
        1 => Just(Step::Notice),
        2 => (1_i64..8).prop_map(|days| Step::Wait { days }),
    ]
}

/// A member's ledger in memory: what the store would hold.
#[derive(Default, Clone)]
struct Ledger {
    lots: Vec<Lot>,
    holds: Vec<Hold>,
    postings: Vec<Posting>,
    reversed: BTreeMap<String, i64>,
    points: i64,
    held: i64,
    debt: i64,
}

impl Ledger {
    fn holding(&self) -> Holding {
        Holding {
            points: self.points,
            held: self.held,
            debt: self.debt,
        }
    }

    fn open_lots(&self) -> Vec<Lot> {
        let open = |lot: &&Lot| lot.remaining > 0 || lot.held > 0;
        self.lots.iter().filter(open).cloned().collect()
    }

    fn open_holds(&self) -> Vec<Hold> {
        let open = |hold: &&Hold| hold.state == State::Authorized;
        self.holds.iter().filter(open).cloned().collect()
    }

    fn write(&mut self, plan: Plan) {
        for changed in plan.changed {
            let stored = find(&mut self.lots, &changed.lot_id);
            *stored = changed;
        }
        self.lots.extend(plan.created);
        self.postings
            .extend(plan.expiry.into_iter().chain([plan.posting]));
        let Holding { points, held, debt } = plan.after;
        (self.points, self.held, self.debt) = (points, held, debt);
    }

    fn put(&mut self, changed: Hold) {
        match self
            .holds
            .iter_mut()
            .find(|hold| hold.hold_id == changed.hold_id)
        {
            Some(hold) => {
                assert_eq!(
                    hold.state,
                    State::Authorized,
                    "closed holds stay as they are"
                );
                *hold = changed;
            }
            None => self.holds.push(changed),
        }
    }

    fn let_go(&mut self, hold: Hold, ending: Ending) {
        let (plan, hold) = release(self.holding(), self.open_lots(), hold, ending);
        self.write(plan);
        self.put(hold);
    }

    /// What precedes any decision.
    fn notice(&mut self, now: Timestamp) {
        let mut open = self.open_holds();
        open.sort_by(|a, b| (a.expires_at, &a.hold_id).cmp(&(b.expires_at, &b.hold_id)));
        for hold in open {
            if hold.has_timed_out(now) {
                let at = hold.expires_at;
                let state = State::Expired;
                self.let_go(hold, Ending { state, at });
            }
        }
    }

    fn balance(&self, now: Timestamp) -> Balance {
        let mut lots = self.lots.clone();
        let debt = settle(&mut lots, self.open_holds(), self.debt, now);
        Balance::of(&lots, debt, now)
    }

    fn total(&self, account: Account) -> i64 {
        let entries = self.postings.iter().flat_map(|posting| &posting.entries);
        let of_account = entries.filter(|entry| entry.account == account);
        of_account.map(|entry| entry.points).sum()
    }

    fn check(&self, now: Timestamp) -> Result<(), TestCaseError> {
        for posting in &self.postings {
            prop_assert_eq!(posting.entries.iter().map(|e| e.points).sum::<i64>(), 0);
        }
        for lot in &self.lots {
            let parts = [
                lot.remaining,
                lot.held,
                lot.consumed,
                lot.expired,
                lot.reversed,
            ];
            prop_assert!(parts.iter().all(|part| *part >= 0), "{:?}", lot);
            prop_assert_eq!(parts.iter().sum::<i64>(), lot.original);
            let open = self.open_holds();
            let pinned = open.iter().flat_map(|hold| &hold.pins);
            let of_lot = pinned.filter(|pin| pin.lot_id == lot.lot_id);
            prop_assert_eq!(of_lot.map(|pin| pin.held).sum::<i64>(), lot.held);
        }
        for hold in &self.holds {
            prop_assert_eq!(
                hold.points(),
                hold.held() + hold.captured() + hold.released()
            );
            prop_assert_eq!(hold.state == State::Authorized, hold.held() > 0);
            prop_assert_eq!(hold.state == State::Authorized, hold.closed_at.is_none());
        }
        let sum = |part: fn(&Lot) -> i64| self.lots.iter().map(part).sum::<i64>();
        prop_assert_eq!(sum(|lot| lot.remaining), self.points);
        prop_assert_eq!(sum(|lot| lot.held), self.held);
        prop_assert_eq!(self.total(Account::Member), self.points);
        prop_assert_eq!(self.total(Account::Held), self.held);
        prop_assert_eq!(self.total(Account::Debt), -self.debt);
        prop_assert!(self.debt >= 0 && (self.debt == 0 || self.points == 0));
        let balance = self.balance(now);
        prop_assert!(balance.debt == 0 || balance.available == 0);

        // Noticed now or later, a time-out leaves the same.
        let mut noticed = self.clone();
        noticed.notice(now);
        prop_assert_eq!(noticed.balance(now), balance);
        Ok(())
    }
}

proptest! {
    #[test]
    fn points_are_conserved_whatever_is_held(steps in prop::collection::vec(step(), 1..60)) {
        let mut ledger = Ledger::default();
        let mut now = at(100);
        for (n, step) in steps.into_iter().enumerate() {
            if !matches!(step, Step::Wait { .. }) {
                ledger.notice(now);
            }
            let holding = ledger.holding();
            let available = lots::available(&ledger.lots, now);
            match step {
                Step::Wait { days } => now = now + TimeDelta::days(days),
                Step::Notice => {}
                Step::Earn { points: of, lasts } => {
                    let earning = Earn {
                        lot_id: format!("lot {n}"),
                        wallet: Wallet::first(),
                        points: points(of),
                        earned_at: now,
                        activates_at: Some(now),
                        expires_at: lasts.map(|days| now + TimeDelta::days(days)),
                    };
                    ledger.write(earn(holding, earning, now).unwrap());
                }
                Step::Redeem { points: of } => {
                    match redeem(holding, ledger.open_lots(), points(of), now) {
                        Ok(plan) => ledger.write(plan),
                        Err(refused) => {
                            prop_assert_eq!(refused, plan::Refused::Insufficient { available });
                        }
                    }
                }
                Step::Reverse { pick, points: of } => {
                    let Some(target) = ledger.lots.get(pick).cloned() else { continue };
                    let reversed = ledger.reversed.entry(target.lot_id.clone()).or_default();
                    let before = Before { reversed: *reversed, adjusted: 0 };
                    let left = target.original - before.reversed;
                    let Ok(due) = due(Extent::Points(points(of)), &target, before) else {
                        prop_assert!(of > left);
                        continue;
                    };
                    let policies = [Policy::AllowDebt, Policy::WithinBalance, Policy::PendingOnly];
                    let policy = policies[n % 3];
                    let part = Part { lot_id: target.lot_id.clone(), points: due, before, policy };
                    let mut lots = ledger.open_lots();
                    if target.remaining == 0 && target.held == 0 {
                        lots.push(target);
                    }
                    match reverse(holding, lots, &part, now) {
                        Ok(plan) => {
                            *ledger.reversed.get_mut(&part.lot_id).unwrap() += due;
                            let owed = plan.after.debt - holding.debt;
                            prop_assert!(owed == 0 || policy == Policy::AllowDebt);
                            ledger.write(plan);
                        }
                        Err(reversal::Refused::NotCovered { reversible }) => {
                            prop_assert!(reversible < due && policy != Policy::AllowDebt);
                        }
                        Err(refused) => prop_assert!(false, "{refused:?}"),
                    }
                }
                Step::Authorize { points: of, days } => {
                    let hold = Authorize { hold_id: format!("hold {n}"), ..hold_of(of, days) };
                    match authorize(holding, ledger.open_lots(), hold, now) {
                        Ok((plan, hold)) => {
                            prop_assert!(of <= available);
                            prop_assert_eq!(hold.held(), of);
                            ledger.write(plan);
                            ledger.put(hold);
                            prop_assert_eq!(ledger.balance(now).available, available - of);
                        }
                        Err(refused) => {
                            prop_assert_eq!(refused, plan::Refused::Insufficient { available });
                        }
                    }
                }
                Step::Capture { pick, points: of, last } => {
                    let Some(hold) = ledger.holds.get(pick).cloned() else { continue };
                    let (state, held) = (hold.state, hold.held());
                    match capture(holding, ledger.open_lots(), hold, points(of), now) {
                        Ok((plan, hold)) => {
                            prop_assert!(state == State::Authorized && of <= held);
                            prop_assert_eq!(plan.posting.points(), -of);
                            ledger.write(plan);
                            ledger.put(hold.clone());
                            if last && hold.state == State::Authorized {
                                let ending = Ending { state: State::Captured, at: now };
                                ledger.let_go(hold, ending);
                            }
                        }
                        Err(Refused::Exceeded { held: told }) => prop_assert!(told == held && of > held),
                        Err(refused) => {
                            let was = match refused {
                                Refused::Captured => State::Captured,
                                Refused::Voided => State::Voided,
                                _ => State::Expired,
                            };
                            prop_assert_eq!(was, state);
                        }
                    }
                }
                Step::Void { pick } => {
                    let Some(hold) = ledger.holds.get(pick).cloned() else { continue };
                    let is_open = hold.state == State::Authorized;
                    prop_assert_eq!(hold.check_open(now).is_ok(), is_open);
                    if is_open {
                        ledger.let_go(hold, Ending { state: State::Voided, at: now });
                    }
                }
            }
            ledger.check(now)?;
        }
    }
}
