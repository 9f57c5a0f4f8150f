//! Merges: what one who stands for both has, and what each has once that is undone.

use api::loyalty::v1 as pb;
use tonic::Code;

use super::member::{Lot, Member};
use super::points::spend;
use super::{Step, World, of};
use crate::answers::Refusal;
use crate::operations::purchases::PROGRAMS;
use crate::operations::{Merge, Merged, Standing};

impl Step<'_> {
    /// Nothing of it lasts that is looked at afterwards but that the survivor is a member wherever the other one is.
    pub fn merge(&mut self, merge: &Merge) -> Merged {
        let now = self.now;
        let mut merged = Merged::default();
        for program_id in PROGRAMS {
            let absorbed = of(program_id, &merge.absorbed);
            let survivor = of(program_id, &merge.survivor);
            let is_merged = self.accounts(absorbed).is_ok();
            if is_merged && self.accounts(survivor).is_err() {
                let customer = (merge.survivor.as_str(), now);
                let new = World::enrolled(&self.world.programs, program_id, customer);
                let customer = self.world.customers.get_mut(&merge.survivor);
                customer.expect("a customer").join(program_id, new);
            }
            let Ok(mut own) = self.tidied(survivor) else {
                continue;
            };
            let mut gone = self.tidied(absorbed).unwrap_or_default();
            let key = |whose: &str| (whose.to_owned(), program_id.to_owned());
            let mut both = own.clone();
            let mut left = gone.clone();
            for (both, left) in both.iter_mut().zip(&mut left) {
                take_in(both, left, now);
            }
            let mut tier = both[0].clone();
            // What the other one has earned counts where it is.
            tier.lots
                .extend(gone.iter().take(1).flat_map(|it| it.lots.clone()));
            tier.bought
                .extend(gone.iter().take(1).flat_map(|it| it.bought.clone()));
            let standing = Standing {
                balances: balances(&both, now),
                tier: Some(tier.tier_and_amount(now)),
            };
            merged.together.insert(key(&merge.survivor), standing);
            if is_merged {
                let standing = Standing {
                    balances: balances(&left, now),
                    tier: None,
                };
                merged.together.insert(key(&merge.absorbed), standing);
            }
            if program_id == PROGRAMS[0] {
                let refusal = Refusal::new(Code::FailedPrecondition, "MEMBER_MERGED")
                    .with("customer_id", &merge.absorbed)
                    .with("survivor_id", &merge.survivor);
                merged.refused = Some(refusal);
                let spent = spend(&mut both[0], merge.points, now);
                merged.spent = spent.is_ok().then(|| both[0].balance(now));
                for taken in spent.unwrap_or_default() {
                    give_up(&mut own[0], &mut gone[0], &taken);
                }
            }
            let members = [(&merge.survivor, own), (&merge.absorbed, gone)];
            for (customer_id, accounts) in members {
                let Some(first) = accounts.first() else {
                    continue;
                };
                let standing = Standing {
                    balances: balances(&accounts, now),
                    tier: Some(first.tier_and_amount(now)),
                };
                merged.apart.insert(key(customer_id), standing);
                if is_merged {
                    let first = self.find(of(program_id, customer_id), "");
                    first.expect("a member").end_given(now);
                }
            }
        }
        merged
    }

    /// All accounts of a member, with what time has done.
    fn tidied(&mut self, whose: super::Of<'_>) -> Result<Vec<Member>, Refusal> {
        let mut accounts = self.accounts(whose)?.clone();
        for account in &mut accounts {
            account.notice(self.now);
            account.write_off(self.now, self.now, |_| true);
        }
        Ok(accounts)
    }
}

/// What lots are called that have come with somebody, after the lots that they come from.
const FROM: &str = "~ from ";

/// All that one has left or owes goes to the other, and what that one then owes is repaid at once.
fn take_in(both: &mut Member, left: &mut Member, now: i64) {
    both.debt += std::mem::take(&mut left.debt);
    left.lots.sort_by_key(Lot::spending_order);
    for lot in left.lots.iter_mut().filter(|lot| lot.remaining > 0) {
        let points = std::mem::take(&mut lot.remaining);
        lot.consumed += points;
        both.lots.push(Lot {
            id: format!("{FROM}{}", lot.id),
            original: points,
            remaining: points,
            held: 0,
            consumed: 0,
            expired: 0,
            reversed: 0,
            qualifying: 0,
            ..lot.clone()
        });
    }
    for state in [pb::LotState::Active, pb::LotState::Pending] {
        let repaid = both.take(both.debt, state, now);
        both.debt -= repaid.iter().map(|taken| taken.points).sum::<i64>();
    }
}

/// What was spent of both is gone from whom it came from.
fn give_up(own: &mut Member, gone: &mut Member, taken: &pb::LotAllocation) {
    let (of, lot_id) = match taken.lot_id.strip_prefix(FROM) {
        Some(lot_id) => (gone, lot_id),
        None => (own, taken.lot_id.as_str()),
    };
    let lot = of.lot(lot_id);
    lot.remaining -= taken.points;
    lot.consumed += taken.points;
}

fn balances(accounts: &[Member], now: i64) -> Vec<pb::Balance> {
    accounts
        .iter()
        .map(|account| account.balance(now))
        .collect()
}
