//! Members who are one person: merges that callers ask for, and undoing them.
//!
//! Nobody is merged here who stands for others: there are no chains. And no hold lets go of anything while its member is
//! merged.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, LotState, TransactionKind as Kind};
use tonic::Code;

use super::limits::Usage;
use super::member::{Lot, Member, of_lot, on};
use super::{Micros, Of, Step, of};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::CALLER;

/// What lots are called that nobody tells of.
const NAMELESS: &str = "~ from ";

/// A merge, as who took the other one in knows it.
#[derive(Debug, Clone)]
pub struct Taken {
    merge: pb::MemberMerge,
    moved: Vec<pb::MovedPoints>,
    /// What of the survivor's lots repaid debt at once: the place of the currency, the lot, points.
    repaid: Vec<(usize, String, i64)>,
}

/// What counts of a member for who stands for it, in one currency.
#[derive(Debug, Clone)]
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
        let (mut moved, mut repaid) = (Vec::new(), Vec::new());
        for place in 0..gone.len() {
            let from = &mut gone[place];
            let lots = from.lots.iter().filter(|lot| lot.remaining > 0);
            let lots: Vec<_> = lots.cloned().collect();
            let debt = std::mem::take(&mut from.debt);
            if lots.is_empty() && debt == 0 {
                continue;
            }
            // What time has done to the survivor comes before anything arrives.
            tidy(&mut both, now);
            let entries = [crossing(&lots, debt), leave(from, &lots)].concat();
            self.cross(
                from,
                &request.survivor_id,
                &request.reason,
                (Kind::Merge, entries),
            );

            let to = &mut both[place];
            let mut entries = arriving(&lots, debt);
            let mut over = Vec::new();
            for lot in lots {
                let (mut new, went) = self.again(&lot);
                new.came_from = Some((request.absorbed_id.clone(), lot.id.clone()));
                entries.push(of_lot(&new.id, new.remaining));
                over.push(went);
                to.lots.push(new);
            }
            to.debt += debt;
            let paid = repay(to, now);
            entries.extend(paying(&paid));
            self.cross(
                to,
                &request.absorbed_id,
                &request.reason,
                (Kind::Merge, entries),
            );
            repaid.extend(paid.into_iter().map(|it| (place, it.lot_id, it.points)));
            moved.push(moved_points(&to.currency, debt, over));
        }
        if postings(&gone) > before {
            gone[0].end_given(now);
        }
        for (both, gone) in both.iter_mut().zip(&mut gone) {
            let lots = gone.lots.iter();
            let counts = Counts {
                qualifying: lots.map(|lot| (lot.earned_at, lot.qualifying)).collect(),
                used: gone.counted.clone(),
            };
            both.others.insert(request.absorbed_id.clone(), counts);
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
        let mut customers = self.world.customers.values();
        let taken = customers.find_map(|customer| customer.merges.get(&key));
        let mut taken = taken.cloned().ok_or_else(|| {
            let refusal = Refusal::new(Code::NotFound, "MERGE_NOT_FOUND");
            refusal.with("merge_id", &request.merge_id)
        })?;
        if taken.merge.unmerged_at.is_some() {
            let refusal = Refusal::new(Code::FailedPrecondition, "MERGE_ALREADY_UNDONE");
            return Err(refusal.with("merge_id", &request.merge_id));
        }
        let survivor_id = taken.merge.survivor_id.clone();
        let absorbed_id = taken.merge.absorbed_id.clone();
        let survivor = of(&program_id, &survivor_id);
        let absorbed = of(&program_id, &absorbed_id);
        let mut both = self.accounts(survivor)?.clone();
        let mut gone = self.accounts(absorbed)?.clone();
        let mut returned = Vec::new();
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
                self.cross(
                    from,
                    &absorbed_id,
                    &request.reason,
                    (Kind::Unmerge, entries),
                );
            }
            from.write_off(now, now, |_| true);
            if lots.is_empty() && debt == 0 {
                continue;
            }
            let mut entries = arriving(&lots, debt);
            let mut back = Vec::new();
            for lot in lots {
                let origin = origin(&lot)
                    .expect("it came by the merge")
                    .from_lot_id
                    .clone();
                let left = to.lot(&origin);
                let (new, mut went) = self.again(&lot);
                let instants = |lot: &Lot| (lot.activates_at, lot.expires_at);
                if instants(left) == instants(&lot) {
                    left.consumed -= lot.remaining;
                    left.remaining += lot.remaining;
                    went.lot_id = origin;
                } else {
                    to.lots.push(new);
                }
                entries.push(of_lot(&went.lot_id, went.points));
                back.push(went);
            }
            to.debt += debt;
            entries.extend(paying(&repay(to, now)));
            self.cross(to, &survivor_id, &request.reason, (Kind::Unmerge, entries));
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

    /// Whoever is a member, and stands for itself.
    pub fn stands(&mut self, whose: Of<'_>) -> Result<(), Refusal> {
        match &self.accounts(whose)?[0].survivor {
            None => Ok(()),
            Some(survivor) => Err(Refusal::new(Code::FailedPrecondition, "MEMBER_MERGED")
                .with("customer_id", whose.customer_id)
                .with("survivor_id", survivor)),
        }
    }

    fn note(&mut self, program_id: String, taken: Taken) {
        let customer = self.world.customers.get_mut(&taken.merge.survivor_id);
        let merges = &mut customer.expect("it was found before").merges;
        merges.insert((program_id, taken.merge.merge_id.clone()), taken);
    }

    /// What is left of a lot as a new one, and how it went there.
    fn again(&self, of: &Lot) -> (Lot, pb::MovedLot) {
        let mut told = self.told.moved.iter();
        let told = told.find(|lot| lot.from_lot_id == of.id);
        let mut went = told.cloned().unwrap_or_default();
        if went.lot_id.is_empty() {
            went.lot_id = format!("{NAMELESS}{}", of.id);
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
            ..of.clone()
        };
        (new, went)
    }

    fn cross(
        &self,
        account: &mut Member,
        counterparty: &str,
        reason: &str,
        (kind, entries): (Kind, Vec<pb::LedgerEntry>),
    ) {
        let posting = pb::LedgerTransaction {
            counterparty_customer_id: counterparty.to_owned(),
            entries,
            ..self.told.posting(kind, self.now, reason)
        };
        account.post(posting, self.now);
    }
}

impl Taken {
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

/// What leaves one ledger for another one, as the one that it leaves has it.
fn crossing(lots: &[Lot], debt: i64) -> Vec<pb::LedgerEntry> {
    let points: i64 = lots.iter().map(|lot| lot.remaining).sum();
    let entries = [
        on(Account::Debt, debt),
        on(Account::Clearing, points - debt),
    ];
    let entries = entries.into_iter();
    entries.filter(|entry| entry.points != 0).collect()
}

/// The same, as the one that it arrives in has it.
fn arriving(lots: &[Lot], debt: i64) -> Vec<pb::LedgerEntry> {
    let mut entries = crossing(lots, debt);
    for entry in &mut entries {
        entry.points = -entry.points;
    }
    entries
}

/// All that is left of lots leaves them.
fn leave(account: &mut Member, lots: &[Lot]) -> Vec<pb::LedgerEntry> {
    let mut entries = Vec::new();
    for Lot { id, .. } in lots {
        let lot = account.lot(id);
        let points = std::mem::take(&mut lot.remaining);
        lot.consumed += points;
        entries.push(of_lot(id, -points));
    }
    entries
}

/// What is owed is repaid, first from what can be spent.
fn repay(account: &mut Member, now: Micros) -> Vec<pb::LotAllocation> {
    let mut all = Vec::new();
    for state in [LotState::Active, LotState::Pending] {
        let repaid = account.take(account.debt, state, now);
        account.debt -= repaid.iter().map(|taken| taken.points).sum::<i64>();
        all.extend(repaid);
    }
    all
}

fn paying(repaid: &[pb::LotAllocation]) -> Vec<pb::LedgerEntry> {
    let lines =
        |it: &pb::LotAllocation| [of_lot(&it.lot_id, -it.points), on(Account::Debt, it.points)];
    repaid.iter().flat_map(lines).collect()
}

fn moved_points(currency: &str, debt: i64, mut lots: Vec<pb::MovedLot>) -> pb::MovedPoints {
    lots.sort_by(|a, b| a.from_lot_id.cmp(&b.from_lot_id));
    pb::MovedPoints {
        points_currency: currency.to_owned(),
        points: lots.iter().map(|lot| lot.points).sum(),
        debt,
        lots,
    }
}

/// Without the names that nobody told.
fn shown(moved: &[pb::MovedPoints]) -> Vec<pb::MovedPoints> {
    let mut moved = moved.to_vec();
    for lot in moved.iter_mut().flat_map(|moved| &mut moved.lots) {
        if lot.lot_id.starts_with(NAMELESS) {
            lot.lot_id.clear();
        }
    }
    moved
}

fn tidy(accounts: &mut [Member], now: Micros) {
    for account in accounts {
        account.notice(now);
        account.write_off(now, now, |_| true);
    }
}

fn postings(accounts: &[Member]) -> usize {
    accounts.iter().map(|account| account.postings.len()).sum()
}

fn balances(accounts: &[Member], now: Micros) -> Vec<pb::Balance> {
    let balances = accounts.iter().map(|account| account.balance(now));
    balances.collect()
}
