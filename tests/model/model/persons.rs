//! Members who are one person: merges that callers ask for, and undoing them.
//!
//! Nobody is merged here who stands for others: there are no chains.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, TransactionKind as Kind};
use tonic::Code;

use super::crossing::{NAMELESS, crossing, leave, moved_points, paying, repay, shown, tidy};
use super::limits::Usage;
use super::member::{Lot, Member, of_lot, on};
use super::passing::{Repaid, Way};
use super::{Customer, Micros, Of, Step, of};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::CALLER;

/// A merge, as who took the other one in knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    pub merge: pb::MemberMerge,
    moved: Vec<pb::MovedPoints>,
    /// What of the survivor's lots repaid debt at once: the place of the currency, the lot, points.
    repaid: Repaid,
}

/// What counts of a member for who stands for it, in one currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Points that count for the tier, with when they were earned.
    pub qualifying: Vec<(Micros, i64)>,
    /// What it has used of limits.
    pub used: Usage,
}

impl Step<'_> {
    pub fn merge_members(
        &mut self,
        request: &pb::MergeMembersRequest,
    ) -> Result<pb::MergeMembersResponse, Refusal> {
        let now = self.now;
        let program_id = self.known(&request.program_id)?.to_owned();
        let survivor = of(&program_id, &request.survivor_id);
        let absorbed = of(&program_id, &request.absorbed_id);
        for whose in [survivor, absorbed] {
            self.stands(whose)?;
        }
        let mut both = self.accounts(survivor)?.clone();
        let mut gone = self.accounts(absorbed)?.clone();
        let before = postings(&gone);
        gone[0].follow(now);
        tidy(&mut gone, now);
        both[0].end_given(now);
        let way = Way {
            from: &request.absorbed_id,
            to: &request.survivor_id,
            kind: Kind::Merge,
            actor: CALLER,
            reason: &request.reason,
        };
        let (moved, repaid) = self.hand_over(way, (&mut gone, &mut both));
        if postings(&gone) > before {
            gone[0].end_given(now);
        }
        for (both, gone) in both.iter_mut().zip(&mut gone) {
            both.others
                .insert(request.absorbed_id.clone(), gone.counts());
            gone.survivor = Some(request.survivor_id.clone());
        }
        let merge = pb::MemberMerge {
            program_id: program_id.clone(),
            merge_id: self.told.merge_id.clone(),
            survivor_id: request.survivor_id.clone(),
            absorbed_id: request.absorbed_id.clone(),
            actor: CALLER.to_owned(),
            reason: request.reason.clone(),
            merged_at: Some(stamp(now)),
            ..Default::default()
        };
        let answer = pb::MergeMembersResponse {
            merge: Some(merge.clone()),
            moved: shown(&moved),
            survivor_balances: balances(&both, now),
            ..Default::default()
        };
        *self.accounts(survivor)? = both;
        *self.accounts(absorbed)? = gone;
        let taken = Taken {
            merge,
            moved,
            repaid,
        };
        self.note(program_id.clone(), taken);
        Ok(answer)
    }

    pub fn unmerge_members(
        &mut self,
        request: &pb::UnmergeMembersRequest,
    ) -> Result<pb::UnmergeMembersResponse, Refusal> {
        let now = self.now;
        let program_id = self.known(&request.program_id)?.to_owned();
        let key = (program_id.clone(), request.merge_id.clone());
        let taken = self.taken(&key)?;
        if taken.merge.unmerged_at.is_some() {
            let refusal = Refusal::new(Code::FailedPrecondition, "MERGE_ALREADY_UNDONE");
            return Err(refusal.with("merge_id", &request.merge_id));
        }
        let survivor_id = taken.merge.survivor_id.clone();
        let absorbed_id = taken.merge.absorbed_id.clone();
        let survivor = of(&program_id, &survivor_id);
        let absorbed = of(&program_id, &absorbed_id);
        // What has timed out meanwhile goes over first.
        self.pass_on_earned(absorbed)?;
        let mut taken = self.taken(&key)?;
        let mut both = self.accounts(survivor)?.clone();
        let mut gone = self.accounts(absorbed)?.clone();
        let mut returned = Vec::new();
        let way = Way {
            from: &survivor_id,
            to: &absorbed_id,
            kind: Kind::Unmerge,
            actor: CALLER,
            reason: &request.reason,
        };
        both[0].end_given(now);
        tidy(&mut both, now);
        for (place, (from, to)) in both.iter_mut().zip(&mut gone).enumerate() {
            let mut entries = taken.owed_again(place, from);
            let brought = taken
                .moved
                .iter()
                .find(|it| it.points_currency == from.currency);
            let brought = brought.cloned().unwrap_or_default();
            let debt = brought.debt.min(from.debt);
            from.debt -= debt;
            let origin = |lot: &Lot| brought.lots.iter().find(|it| it.lot_id == lot.id);
            let is_back = |lot: &&Lot| lot.remaining > 0 && !lot.has_expired(now);
            let lots = from.lots.iter().filter(is_back);
            let lots: Vec<_> = lots.filter(|lot| origin(lot).is_some()).cloned().collect();
            entries.extend(crossing(&lots, debt));
            entries.extend(leave(from, &lots));
            let paid = repay(from, now);
            entries.extend(paying(&paid));
            if !entries.is_empty() {
                way.post(from, &absorbed_id, (entries, now));
            }
            from.write_off(now, now, |_| true);
            if lots.is_empty() && debt == 0 {
                continue;
            }
            let left = |lot: Lot| {
                let origin = origin(&lot).expect("it came by the merge");
                let left = origin.from_lot_id.clone();
                (lot, left)
            };
            let lots = lots.into_iter().map(left).collect();
            let back = self.take_back_lots(way, to, (lots, debt));
            returned.push(moved_points(&to.currency, debt, back));
        }
        gone[0].end_given(now);
        for (both, gone) in both.iter_mut().zip(&mut gone) {
            both.others.remove(&absorbed_id);
            gone.survivor = None;
        }
        let merged_at = taken.merge.merged_at.as_ref().map_or(now, micros);
        taken.merge.unmerged_at = Some(stamp(now.max(merged_at)));
        CALLER.clone_into(&mut taken.merge.unmerge_actor);
        taken.merge.unmerge_reason.clone_from(&request.reason);
        let answer = pb::UnmergeMembersResponse {
            merge: Some(taken.merge.clone()),
            moved: shown(&taken.moved),
            returned: shown(&returned),
            survivor_balances: balances(&both, now),
            absorbed_balances: balances(&gone, now),
            ..Default::default()
        };
        *self.accounts(survivor)? = both;
        *self.accounts(absorbed)? = gone;
        self.note(program_id.clone(), taken);
        Ok(answer)
    }

    /// A merge by its program and id.
    fn taken(&self, key: &(String, String)) -> Result<Taken, Refusal> {
        let mut customers = self.world.customers.values();
        let taken = customers.find_map(|customer| customer.merges.get(key));
        taken.cloned().ok_or_else(|| {
            let refusal = Refusal::new(Code::NotFound, "MERGE_NOT_FOUND");
            refusal.with("merge_id", &key.1)
        })
    }

    /// Whoever is a member, and stands for itself.
    pub fn stands(&mut self, whose: Of<'_>) -> Result<(), Refusal> {
        match &self.accounts(whose)?[0].survivor {
            None => Ok(()),
            Some(survivor) => Err(Refusal::new(Code::FailedPrecondition, "MEMBER_MERGED")
                .with("customer_id", whose.customer_id)
                .with("survivor_id", survivor)),
        }
    }

    pub fn note(&mut self, program_id: String, taken: Taken) {
        let customer = self.world.customers.get_mut(&taken.merge.survivor_id);
        let merges = &mut customer.expect("it was found before").merges;
        merges.insert((program_id, taken.merge.merge_id.clone()), taken);
    }

    /// What is left of a lot as a new one, and how it went there: it may have gone before, to where there is a lot.
    pub fn again(&self, of: &Lot) -> (Lot, pb::MovedLot) {
        let customers = &self.world.customers;
        let accounts = || customers.values().flat_map(Customer::accounts);
        let is_known = |lot: &pb::MovedLot| accounts().any(|account| account.has_lot(&lot.lot_id));
        let its = self
            .told
            .moved
            .iter()
            .filter(|lot| lot.from_lot_id == of.id);
        let (known, new): (Vec<_>, Vec<_>) = its.partition(|lot| is_known(lot));
        let told = new.into_iter().chain(known).next();
        let mut went = told.cloned().unwrap_or_default();
        if went.lot_id.is_empty() {
            went.lot_id = format!("{NAMELESS}{}", of.id);
            // What nobody tells of may go and come back more than once in a batch.
            while is_known(&went) {
                went.lot_id.push('\'');
            }
        }
        went.from_lot_id.clone_from(&of.id);
        went.points = of.remaining;
        let new = Lot {
            id: went.lot_id.clone(),
            posting_id: went.transaction_id.clone(),
            original: of.remaining,
            remaining: of.remaining,
            held: 0,
            consumed: 0,
            expired: 0,
            reversed: 0,
            qualifying: 0,
            came_from: None,
            again_of: None,
            ..of.clone()
        };
        (new, went)
    }
}

impl Member {
    /// What counts of it for who stands for it.
    pub fn counts(&self) -> Counts {
        let lots = self.lots.iter();
        Counts {
            qualifying: lots.map(|lot| (lot.earned_at, lot.qualifying)).collect(),
            used: self.counted.clone(),
        }
    }
}

impl Taken {
    /// What went along later.
    pub fn add(&mut self, both: &[Member], moved: &[pb::MovedPoints], repaid: Repaid) {
        for more in moved {
            let mut known = self.moved.iter_mut();
            match known.find(|it| it.points_currency == more.points_currency) {
                None => self.moved.push(more.clone()),
                Some(known) => {
                    known.points += more.points;
                    known.debt += more.debt;
                    known.lots.extend(more.lots.iter().cloned());
                    known.lots.sort_by(|a, b| a.from_lot_id.cmp(&b.from_lot_id));
                }
            }
        }
        let place = |it: &pb::MovedPoints| {
            let mut codes = both.iter().map(|account| &account.currency);
            codes.position(|code| *code == it.points_currency)
        };
        self.moved.sort_by_key(place);
        for (place, lot_id, points) in repaid {
            let mut known = self.repaid.iter_mut();
            match known.find(|it| (it.0, &it.1) == (place, &lot_id)) {
                Some(known) => known.2 += points,
                None => self.repaid.push((place, lot_id, points)),
            }
        }
    }

    /// What repaid debt when it arrived is owed again, and the points are where they were.
    fn owed_again(&self, place: usize, account: &mut Member) -> Vec<pb::LedgerEntry> {
        let mut entries = Vec::new();
        let mut owed = 0;
        for (_, lot_id, points) in self.repaid.iter().filter(|it| it.0 == place) {
            let lot = account.lot(lot_id);
            if lot.cancelled_at.is_some() {
                continue;
            }
            lot.consumed -= points;
            lot.remaining += points;
            owed += points;
            entries.push(of_lot(lot_id, *points));
        }
        account.debt += owed;
        entries.extend((owed > 0).then(|| on(Account::Debt, -owed)));
        entries
    }
}

fn postings(accounts: &[Member]) -> usize {
    accounts.iter().map(|account| account.postings.len()).sum()
}

fn balances(accounts: &[Member], now: Micros) -> Vec<pb::Balance> {
    let balances = accounts.iter().map(|account| account.balance(now));
    balances.collect()
}
