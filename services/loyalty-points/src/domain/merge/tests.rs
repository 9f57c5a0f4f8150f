use proptest::prelude::*;

use super::*;
use crate::domain::plan::fixtures::{at, lot};
use crate::domain::{Points, plan as planning};

/// A member's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    holding: Holding,
    lots: Vec<Lot>,
}

impl Member {
    /// Lots with points and days of expiry (0: never), or else debt.
    fn of(name: &str, sizes: &[(i64, i64, bool)], debt: i64) -> Self {
        let made = |(n, (size, day, waits)): (usize, &(i64, i64, bool))| Lot {
            expires_at: (*day > 0).then(|| at(20 + *day)),
            activates_at: (!waits).then(|| at(0)),
            ..lot(&format!("{name}{n}"), *size)
        };
        let lots: Vec<_> = sizes.iter().enumerate().map(made).collect();
        let points = lots.iter().map(|lot| lot.remaining).sum();
        let debt = if points > 0 { 0 } else { debt };
        Self {
            holding: Holding {
                points,
                held: 0,
                debt,
            },
            lots,
        }
    }

    fn apply(&mut self, plan: Plan) {
        let sum = |posting: &Posting| {
            posting
                .entries
                .iter()
                .map(|entry| entry.points)
                .sum::<i64>()
        };
        assert_eq!(sum(&plan.posting), 0);
        let own = planned(&plan);
        let before = self.worth();
        for changed in plan.changed {
            let lot = self
                .lots
                .iter_mut()
                .find(|lot| lot.lot_id == changed.lot_id);
            *lot.unwrap() = changed;
        }
        self.lots.extend(plan.created);
        self.lots.sort_by(|a, b| a.lot_id.cmp(&b.lot_id));
        self.holding = plan.after;
        assert_eq!(self.worth() - before, own);
        self.check();
    }

    /// Points less debt.
    fn worth(&self) -> i64 {
        self.holding.points + self.holding.held - self.holding.debt
    }

    fn check(&self) {
        let left: i64 = self.lots.iter().map(|lot| lot.remaining).sum();
        assert_eq!(left, self.holding.points);
        assert!(
            self.holding.debt == 0 || self.holding.points == 0,
            "{self:?}"
        );
        for lot in &self.lots {
            let parts = [
                lot.remaining,
                lot.held,
                lot.consumed,
                lot.expired,
                lot.reversed,
            ];
            assert!(parts.iter().all(|part| *part >= 0), "{lot:?}");
            assert_eq!(parts.iter().sum::<i64>(), lot.original);
        }
    }

    fn open(&self) -> Vec<Lot> {
        let open = self.lots.iter().filter(|lot| lot.remaining > 0);
        open.cloned().collect()
    }

    /// Lots of which something is left, with their instants.
    fn told(&self) -> Vec<Lot> {
        self.open()
    }

    fn spend(&mut self, points: i64, now: Timestamp) {
        let Ok(points) = Points::parse(points) else {
            return;
        };
        if let Ok(plan) = planning::redeem(self.holding, self.open(), points, now) {
            self.apply(plan);
        }
    }

    fn earn(&mut self, points: i64, now: Timestamp) {
        let Ok(points) = Points::parse(points) else {
            return;
        };
        let earning = planning::Earn {
            lot_id: format!("earned {}", self.lots.len()),
            wallet: crate::domain::currency::Wallet::first(),
            points,
            earned_at: now,
            activates_at: Some(now),
            expires_at: None,
        };
        self.apply(planning::earn(self.holding, earning, now).unwrap());
    }
}

fn planned(plan: &Plan) -> i64 {
    plan.posting.points() + plan.expiry.as_ref().map_or(0, Posting::points)
}

fn clearing(plan: &Plan) -> i64 {
    let entries = plan.posting.entries.iter();
    let clearing = entries.filter(|entry| entry.account == Account::Clearing);
    clearing.map(|entry| entry.points).sum()
}

/// What a merge noted.
struct Noted {
    origins: Vec<(String, String)>,
    taken: Taken,
}

fn merge(absorbed: &mut Member, survivor: &mut Member, now: Timestamp) -> Noted {
    let Some(leaving) = leave(absorbed.holding, absorbed.open(), now) else {
        return Noted {
            origins: Vec::new(),
            taken: Taken::default(),
        };
    };
    let mut n = 0;
    let arriving = arriving(&leaving.lots, || {
        n += 1;
        format!("moved {n}")
    });
    let origin = |(left, arrives): (&Lot, &Lot)| (arrives.lot_id.clone(), left.lot_id.clone());
    let origins: Vec<_> = leaving.lots.iter().zip(&arriving).map(origin).collect();
    let brought = (arriving, leaving.debt);
    let (plan, repaid) = arrive(survivor.holding, survivor.open(), brought, now).unwrap();
    assert_eq!(clearing(&leaving.plan) + clearing(&plan), 0);
    absorbed.apply(leaving.plan);
    survivor.apply(plan);
    assert_eq!(
        absorbed.holding,
        Holding::default_with_held(absorbed.holding.held)
    );
    Noted {
        taken: Taken {
            lots: origins.iter().map(|(lot_id, _)| lot_id.clone()).collect(),
            repaid,
            debt: leaving.debt,
        },
        origins,
    }
}

impl Holding {
    fn default_with_held(held: i64) -> Self {
        Self {
            points: 0,
            held,
            debt: 0,
        }
    }
}

/// Returns what expired on the way.
fn unmerge(absorbed: &mut Member, survivor: &mut Member, noted: &Noted, now: Timestamp) -> i64 {
    let Some(given) = give(survivor.holding, survivor.lots.clone(), &noted.taken, now) else {
        return 0;
    };
    let expired = given
        .plan
        .expiry
        .as_ref()
        .map_or(0, |posting| -posting.points());
    let way_out = clearing(&given.plan);
    survivor.apply(given.plan);
    if given.lots.is_empty() && given.debt == 0 {
        assert_eq!(way_out, 0);
        return expired;
    }
    let origin = |lot_id: &str| {
        let mut origins = noted.origins.iter();
        origins.find(|(to, _)| to == lot_id).unwrap().1.clone()
    };
    let back = |from: Lot| Back {
        lot_id: origin(&from.lot_id),
        from,
    };
    let backs = given.lots.into_iter().map(back).collect();
    let mut n = 0;
    let ids = || {
        n += 1;
        format!("again {n}")
    };
    let plan = take_back(
        absorbed.holding,
        absorbed.lots.clone(),
        (backs, given.debt),
        ids,
        now,
    );
    let (plan, _) = plan.unwrap();
    assert_eq!(way_out + clearing(&plan), 0);
    absorbed.apply(plan);
    expired
}

fn sizes() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    prop::collection::vec((1_i64..100, 0_i64..20, any::<bool>()), 0..5)
}

proptest! {
    /// Undone at once, a merge restores both: lots, expiries, what counts, debt.
    #[test]
    fn a_merge_undone_at_once_never_was(
        a in sizes(), b in sizes(), debts in (0_i64..200, 0_i64..200),
    ) {
        let mut absorbed = Member::of("a", &a, debts.0);
        let mut survivor = Member::of("b", &b, debts.1);
        let before = (absorbed.clone(), survivor.clone());
        let noted = merge(&mut absorbed, &mut survivor, at(10));
        unmerge(&mut absorbed, &mut survivor, &noted, at(10));
        prop_assert_eq!(&absorbed, &before.0);
        prop_assert_eq!(survivor.told(), before.1.told());
        prop_assert_eq!(survivor.holding, before.1.holding);
    }

    /// Whatever happens between, both together have what they had, and what was earned, less what was spent.
    #[test]
    fn nothing_is_created_or_lost_over_both(
        a in sizes(), b in sizes(), debts in (0_i64..200, 0_i64..200),
        between in prop::collection::vec((any::<bool>(), 1_i64..150), 0..6), days in 0_i64..25,
    ) {
        let mut absorbed = Member::of("a", &a, debts.0);
        let mut survivor = Member::of("b", &b, debts.1);
        let noted = merge(&mut absorbed, &mut survivor, at(10));
        for (earns, points) in between {
            if earns {
                survivor.earn(points, at(11));
            } else {
                survivor.spend(points, at(11));
            }
        }
        let now = at(11 + days);
        let before = absorbed.worth() + survivor.worth();
        let expired = unmerge(&mut absorbed, &mut survivor, &noted, now);
        prop_assert_eq!(absorbed.worth() + survivor.worth(), before - expired);
        // Nothing of the absorbed member is left with the survivor, and what came back expires as before.
        for lot in survivor.lots.iter().filter(|lot| noted.taken.lots.contains(&lot.lot_id)) {
            prop_assert!(lot.remaining == 0 || lot.has_expired(now));
        }
        for (lot, (size, day, _)) in absorbed.lots.iter().zip(&a) {
            prop_assert!(lot.remaining <= *size);
            prop_assert_eq!(lot.expires_at, (*day > 0).then(|| at(20 + *day)));
            prop_assert_eq!(lot.qualifying, *size);
        }
    }
}

#[test]
fn what_was_changed_meanwhile_comes_back_in_a_lot_of_its_own() {
    let mut absorbed = Member::of("a", &[(50, 5, true)], 0);
    let mut survivor = Member::of("b", &[], 0);
    let noted = merge(&mut absorbed, &mut survivor, at(10));
    survivor.lots[0].activates_at = Some(at(11));
    survivor.lots[0].expires_at = Some(at(40));
    unmerge(&mut absorbed, &mut survivor, &noted, at(12));
    let left: Vec<_> = absorbed
        .lots
        .iter()
        .map(|lot| (lot.remaining, lot.expires_at))
        .collect();
    assert_eq!(left, [(0, Some(at(25))), (50, Some(at(40)))]);
}
