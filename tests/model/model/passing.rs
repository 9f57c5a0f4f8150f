//! What is passed on: a merged member keeps nothing, and what is asked about what it earned is decided in its ledger.

use std::collections::BTreeSet;

use api::loyalty::v1 as pb;
use pb::TransactionKind as Kind;

use super::crossing::{arriving, crossing, leave, moved_points, paying, repay, shown, tidy};
use super::member::{Lot, Member, of_lot};
use super::persons::Taken;
use super::{Micros, Of, Step, of};
use crate::answers::{Refusal, stamp};

/// What repaid debt at once when it arrived: the place of the currency, the lot, points.
pub type Repaid = Vec<(usize, String, i64)>;

/// How points go from one ledger to another.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub kind: Kind,
    pub actor: &'a str,
    pub reason: &'a str,
}

impl Way<'_> {
    /// A posting in the ledger of who gives, or of who receives.
    pub fn post(
        &self,
        account: &mut Member,
        counterparty: &str,
        (entries, now): (Vec<pb::LedgerEntry>, Micros),
    ) {
        let posting = pb::LedgerTransaction {
            kind: self.kind.into(),
            actor: self.actor.to_owned(),
            reason: self.reason.to_owned(),
            occurred_at: Some(stamp(now)),
            counterparty_customer_id: counterparty.to_owned(),
            entries,
            ..Default::default()
        };
        account.post(posting, now);
    }
}

impl Step<'_> {
    /// Those for whom a member stands who have something, by their ids.
    pub fn behind(&mut self, whose: Of<'_>, has: impl Fn(&Member) -> bool) -> Vec<String> {
        let program_id = super::program(whose.program_id);
        let is_one = |customer_id: &str, accounts: &Vec<Member>| {
            let survivor = accounts[0].survivor.as_deref();
            // Of versions that do not belong together one may know of a merge of which the other does not.
            survivor == Some(whose.customer_id)
                && self.standing(program_id, customer_id).is_some()
                && accounts.iter().any(&has)
        };
        let mut behind = Vec::new();
        for (customer_id, customer) in &self.world.customers {
            let accounts = customer.members.get(program_id);
            if accounts.is_some_and(|accounts| is_one(customer_id, accounts)) {
                behind.push(customer_id.clone());
            }
        }
        behind
    }

    /// What is left of a lot of a merged member comes back to it, for a decision about that lot.
    pub fn recall(
        &mut self,
        (root, owner): (Of<'_>, Of<'_>),
        lot_id: &str,
    ) -> Result<Option<pb::PassedOn>, Refusal> {
        let now = self.now;
        let mut both = self.accounts(root)?.clone();
        let mut gone = self.accounts(owner)?.clone();
        let lots = gone.iter().flat_map(|account| &account.lots);
        let again = lots.filter(|lot| lot.again_of.as_deref() == Some(lot_id));
        let mut left: BTreeSet<_> = again.map(|lot| lot.id.clone()).collect();
        left.insert(lot_id.to_owned());
        let is_of = |lot: &Lot| {
            let (whose, from) = lot.came_from.as_ref()?;
            (whose == owner.customer_id && left.contains(from)).then(|| from.clone())
        };
        let has_been = |account: &Member| account.lots.iter().any(|lot| is_of(lot).is_some());
        if !both.iter().any(has_been) {
            return Ok(None);
        }
        tidy(&mut both, now);
        let way = Way {
            from: root.customer_id,
            to: owner.customer_id,
            kind: Kind::Unmerge,
            actor: "",
            reason: "recalled to be taken back",
        };
        let mut moved = Vec::new();
        for (from, to) in both.iter_mut().zip(&mut gone) {
            let lots = from.lots.iter().filter(|lot| lot.remaining > 0);
            let lots = lots.filter_map(|lot| Some((lot.clone(), is_of(lot)?)));
            let (lots, from_which): (Vec<_>, Vec<_>) = lots.unzip();
            if lots.is_empty() {
                continue;
            }
            let entries = [crossing(&lots, 0), leave(from, &lots)].concat();
            way.post(from, way.to, (entries, now));
            let lots = lots.into_iter().zip(from_which).collect();
            let back = self.take_back_lots(way, to, (lots, 0));
            moved.push(moved_points(&to.currency, 0, back));
        }
        *self.accounts(root)? = both;
        *self.accounts(owner)? = gone;
        Ok(told(way, &moved))
    }

    /// Lots come back, each into the one that it left, or into a new one where instants were changed meanwhile, or that
    /// one was cancelled: what repaid debt and is owed again.
    pub fn take_back_lots(
        &self,
        way: Way<'_>,
        to: &mut Member,
        (lots, debt): (Vec<(Lot, String)>, i64),
    ) -> Vec<pb::MovedLot> {
        let now = self.now;
        let came: Vec<_> = lots.iter().map(|(lot, _)| lot.clone()).collect();
        let mut entries = arriving(&came, debt);
        let mut back = Vec::new();
        for (lot, origin) in lots {
            let left = to.lot(&origin);
            let (new, mut went) = self.again(&lot);
            let instants = |lot: &Lot| (lot.activates_at, lot.expires_at);
            if instants(left) == instants(&lot) && left.cancelled_at.is_none() {
                left.consumed -= lot.remaining;
                left.remaining += lot.remaining;
                went.lot_id = origin;
            } else {
                let first = left.again_of.clone().unwrap_or(origin);
                to.lots.push(Lot {
                    again_of: Some(first),
                    ..new
                });
            }
            entries.push(of_lot(&went.lot_id, went.points));
            back.push(went);
        }
        to.debt += debt;
        entries.extend(paying(&repay(to, now)));
        way.post(to, way.from, (entries, now));
        back
    }

    /// Passes on what is left once what a merged member has earned has changed: by that the tier of who stands for it is
    /// decided anew, whether anything is left or not.
    pub fn pass_on_earned(&mut self, absorbed: Of<'_>) -> Result<Vec<pb::PassedOn>, Refusal> {
        let now = self.now;
        if let Some(survivor_id) = self.accounts(absorbed)?[0].survivor.clone() {
            self.accounts(of(absorbed.program_id, &survivor_id))?[0].end_given(now);
        }
        self.pass_on(absorbed)
    }

    /// Whatever a merged member has left or owes goes on to who took it in, and what that member has earned by now
    /// counts there. Nothing happens to who stands for itself.
    pub fn pass_on(&mut self, absorbed: Of<'_>) -> Result<Vec<pb::PassedOn>, Refusal> {
        let now = self.now;
        let program_id = super::program(absorbed.program_id).to_owned();
        if self.accounts(absorbed)?[0].survivor.is_none() {
            return Ok(Vec::new());
        }
        // Of versions that do not belong together one may know of a merge of which the other does not.
        let Some(mut taken) = self.standing(&program_id, absorbed.customer_id) else {
            return Ok(Vec::new());
        };
        let merge = taken.merge.clone();
        let survivor = of(&program_id, &merge.survivor_id);
        let mut both = self.accounts(survivor)?.clone();
        let mut gone = self.accounts(absorbed)?.clone();
        tidy(&mut gone, now);
        let way = Way {
            from: &merge.absorbed_id,
            to: &merge.survivor_id,
            kind: Kind::Merge,
            actor: &merge.actor,
            reason: &merge.reason,
        };
        let (moved, repaid) = self.hand_over(way, (&mut gone, &mut both));
        if !moved.is_empty() {
            both[0].end_given(now);
        }
        taken.add(&both, &moved, repaid);
        for (both, gone) in both.iter_mut().zip(&gone) {
            both.others.insert(merge.absorbed_id.clone(), gone.counts());
        }
        *self.accounts(survivor)? = both;
        *self.accounts(absorbed)? = gone;
        self.note(program_id.clone(), taken);
        Ok(told(way, &moved).into_iter().collect())
    }

    /// All that one has left or owes goes to the other. What that one then owes is repaid at once.
    pub fn hand_over(
        &self,
        way: Way<'_>,
        (gone, both): (&mut [Member], &mut [Member]),
    ) -> (Vec<pb::MovedPoints>, Repaid) {
        let now = self.now;
        let (mut moved, mut repaid) = (Vec::new(), Vec::new());
        for (place, from) in gone.iter_mut().enumerate() {
            let lots = from.lots.iter().filter(|lot| lot.remaining > 0);
            let lots: Vec<_> = lots.cloned().collect();
            let debt = std::mem::take(&mut from.debt);
            if lots.is_empty() && debt == 0 {
                continue;
            }
            // What time has done to the survivor comes before anything arrives.
            tidy(both, now);
            let entries = [crossing(&lots, debt), leave(from, &lots)].concat();
            way.post(from, way.to, (entries, now));

            let to = &mut both[place];
            let mut entries = arriving(&lots, debt);
            let mut over = Vec::new();
            for lot in lots {
                let (mut new, went) = self.again(&lot);
                new.came_from = Some((way.from.to_owned(), lot.id));
                entries.push(of_lot(&new.id, new.remaining));
                over.push(went);
                to.lots.push(new);
            }
            to.debt += debt;
            let paid = repay(to, now);
            entries.extend(paying(&paid));
            way.post(to, way.from, (entries, now));
            repaid.extend(paid.into_iter().map(|it| (place, it.lot_id, it.points)));
            moved.push(moved_points(&to.currency, debt, over));
        }
        (moved, repaid)
    }

    /// The merge by which a member is merged.
    fn standing(&self, program_id: &str, absorbed_id: &str) -> Option<Taken> {
        let customers = self.world.customers.values();
        let mut taken = customers.flat_map(|customer| &customer.merges);
        let stands = |((program, _), it): &(&(String, String), &Taken)| {
            let is_its = it.merge.absorbed_id == absorbed_id;
            program == program_id && is_its && it.merge.unmerged_at.is_none()
        };
        taken.find(stands).map(|(_, taken)| taken.clone())
    }
}

/// What is told of what went from one to another; nothing where nothing did.
fn told(way: Way<'_>, moved: &[pb::MovedPoints]) -> Option<pb::PassedOn> {
    (!moved.is_empty()).then(|| pb::PassedOn {
        from_customer_id: way.from.to_owned(),
        to_customer_id: way.to.to_owned(),
        moved: shown(moved),
        consistency_token: String::new(),
    })
}
