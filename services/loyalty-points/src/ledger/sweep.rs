//! The sweep: what time has done, posted without waiting for the member's next call.
//!
//! Nothing depends on it: readers go by the clock, and the next decision about a member posts the same in passing.
//! It makes it known: events of holds that timed out, of points that expired, and notices of points that will.
//! Each member is done in a transaction of its own under the customer's lock, so several replicas may sweep at
//! once: whoever comes second finds nothing left to do.

use std::collections::{BTreeSet, VecDeque};
use std::ops::AddAssign;
use std::time::Duration;

use chrono::TimeDelta;
use common::ids::CustomerId;
use common::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::holds::let_go_timed_out;
use super::{Change, Origin, merges, write};
use crate::domain::expiry;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::store::accounts::{AccountKey, MemberKey};
use crate::store::due::{self, DuePage, DueRow};
use crate::store::holds;
use crate::store::members::{Lock, Standing};
use crate::store::notices::{self, NoticeRow};
use crate::tiers::Cause;
use crate::work::Work;
use crate::{State, events};

/// Lots or holds looked at in one read.
const DUE_AT_ONCE: i64 = 200;

/// Whether what is found is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It is.
    Made,
    /// It is told only.
    Told,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Members for whom anything was due.
    pub members: i64,
    /// Holds found to have timed out.
    pub holds_expired: i64,
    /// Points written off.
    pub points_expired: i64,
    /// Notices told.
    pub notices: i64,
    /// Members who could not be done; the log tells why.
    pub failed: i64,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.members += other.members;
        self.holds_expired += other.holds_expired;
        self.points_expired += other.points_expired;
        self.notices += other.notices;
        self.failed += other.failed;
    }
}

/// What a sweep looks for, in this order.
enum Look {
    Holds,
    Lots,
    Notice { program_id: String, days: i64 },
}

/// A sweep under way.
pub struct Sweep {
    state: State,
    extent: Extent,
    now: Timestamp,
    ahead: VecDeque<Look>,
    last: Option<DueRow>,
    // Who is not done again although found again: who failed, and who was only told of.
    passed: BTreeSet<(String, String)>,
    so_far: Swept,
}

/// Sweeps every so often until stopped.
pub async fn run(state: State, every: Duration, stop: CancellationToken) {
    if every.is_zero() {
        return;
    }
    while stop
        .run_until_cancelled(tokio::time::sleep(every))
        .await
        .is_some()
    {
        if let Err(error) = whole(&state, &stop).await {
            tracing::warn!(%error, "the sweep of the ledger failed, trying again");
        }
    }
}

async fn whole(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let mut sweep = Sweep::begin(state.clone(), Extent::Made).await?;
    while !stop.is_cancelled() && sweep.batch().await?.is_some() {}
    Ok(())
}

impl Sweep {
    /// Looks from the beginning, for what is due now.
    pub async fn begin(state: State, extent: Extent) -> Result<Self, Error> {
        let all_days = notices::list_all_days(&mut state.platform.reader().await?).await?;
        let notice = |(program_id, days)| Look::Notice { program_id, days };
        let due = [Look::Holds, Look::Lots].into_iter();
        Ok(Self {
            extent,
            now: state.platform.now(),
            ahead: due.chain(all_days.into_iter().map(notice)).collect(),
            last: None,
            passed: BTreeSet::new(),
            so_far: Swept::default(),
            state,
        })
    }

    /// Does a bounded number of members; returns what was done so far, or `None` at the end.
    pub async fn batch(&mut self) -> Result<Option<Swept>, Error> {
        while let Some(look) = self.ahead.front() {
            let found = self.list(look).await?;
            let Some(last) = found.last() else {
                self.ahead.pop_front();
                self.last = None;
                continue;
            };
            self.last = Some(last.clone());
            let mut once = BTreeSet::new();
            for row in found {
                let member = (row.customer_id.clone(), row.program_id.clone());
                if self.passed.contains(&member) || !once.insert(member.clone()) {
                    continue;
                }
                let done = self.done(&row).await;
                if done.failed > 0 || self.extent == Extent::Told {
                    self.passed.insert(member);
                }
                self.so_far += done;
            }
            return Ok(Some(self.so_far));
        }
        Ok(None)
    }

    async fn list(&self, look: &Look) -> Result<Vec<DueRow>, Error> {
        let mut db = self.state.platform.reader().await?;
        let start = (Timestamp::from_micros(i64::MIN), "", "");
        let after = self.last.as_ref().map_or(start, |last| {
            (
                last.expires_at,
                last.customer_id.as_str(),
                last.item_id.as_str(),
            )
        });
        let page = DuePage {
            after,
            limit: DUE_AT_ONCE,
        };
        Ok(match look {
            Look::Holds => due::list_holds(&mut db, self.now, page).await?,
            Look::Lots => due::list_lots(&mut db, self.now, page).await?,
            Look::Notice { program_id, days } => {
                let notice = due::Notice {
                    program_id,
                    days: *days,
                    from: self.now,
                    to: self.now + TimeDelta::days(*days),
                };
                due::list_unnoticed(&mut db, notice, page).await?
            }
        })
    }

    /// Does one member. One who cannot be done does not keep the others from it.
    async fn done(&self, row: &DueRow) -> Swept {
        match self.member(&row.customer_id, &row.program_id).await {
            Ok(swept) => swept,
            Err(error) => {
                let (customer_id, program_id) = (&row.customer_id, &row.program_id);
                tracing::warn!(%error, customer.id = %customer_id, program.id = %program_id,
                    "a member was not swept");
                Swept {
                    failed: 1,
                    ..Swept::default()
                }
            }
        }
    }

    async fn member(&self, customer_id: &str, program_id: &str) -> Result<Swept, Error> {
        let customer_id = CustomerId::parse(customer_id).map_err(common::Error::Internal)?;
        let program_id = ProgramId::parse(program_id).map_err(common::Error::Internal)?;
        let mut tx = self.state.platform.tx().await?;
        let program = self.state.programs.get(&mut tx, &program_id).await?;
        let mut work = Work::new(&mut tx);
        let Some(mut lock) = work.lock(&customer_id).await? else {
            return Ok(Swept::default());
        };
        let swept = post(&self.state, &mut work, &mut lock, &program).await?;
        if swept != Swept::default() && self.extent == Extent::Made {
            work.settle(&lock);
            work.flush().await?;
            tx.commit().await?;
        }
        Ok(swept)
    }
}

/// Posts all that is due for a member of whom the customer is locked.
async fn post(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Program,
) -> Result<Swept, Error> {
    let now = work.now();
    let (customer_id, program_id) = (lock.customer_id.clone(), program.program_id.as_str());
    let standings = work.standings(&customer_id, program_id).await?;
    let open = standings
        .into_iter()
        .find(|standing| !standing.member.is_closed());
    let Some(standing) = open else {
        return Ok(Swept::default());
    };
    let before = owned(work, &standing, program).await?;
    let mut swept = Swept::default();
    if work.holds_any(&standing) {
        let of = MemberKey {
            wallet: None,
            ..standing.key().into()
        };
        let open = holds::list_open(work.tx(), of).await?;
        let timed_out = open.iter().filter(|stored| stored.hold.has_timed_out(now));
        swept.holds_expired = i64::try_from(timed_out.count()).expect("holds fit in memory");
    }
    let standing = let_go_timed_out(state, work, lock, program, standing).await?;
    for wallet in program.wallets() {
        let account = AccountKey {
            wallet: &wallet,
            ..standing.key()
        };
        let open = work.open_lots(account).await?;
        let standing = work.standing(account).await?;
        let standing = standing.expect("the member is locked");
        if let Some(plan) = expiry::write_off(standing.holding(), open, now) {
            let change = Change {
                program,
                standing,
                plan,
                origin: Origin::default(),
            };
            write::write(state, work, lock, change).await?;
        }
    }
    swept.points_expired = before - owned(work, &standing, program).await?;
    if let Some(latest) = pass_on(state, work, lock, program).await? {
        *lock = latest;
    }
    swept.notices = tell(work, lock, program).await?;
    if swept != Swept::default() {
        swept.members = 1;
    }
    Ok(swept)
}

/// What was let go of a member who was merged goes on to who stands for it; returns the lock as it is then.
async fn pass_on(
    state: &State,
    work: &mut Work<'_>,
    lock: &Lock,
    program: &Program,
) -> Result<Option<Lock>, Error> {
    let customer_id = &lock.customer_id;
    let standings = work.standings(customer_id, program.program_id.as_str());
    if standings
        .await?
        .iter()
        .all(|standing| standing.member.survivor.is_none())
    {
        return Ok(None);
    }
    work.settle(lock);
    merges::pass_on(state, work, program, customer_id, Cause::Usual).await?;
    Ok(work.lock(customer_id).await?)
}

/// What a member has in all currencies together. What was let go or repaid is still the member's or no longer owed.
async fn owned(work: &mut Work<'_>, standing: &Standing, program: &Program) -> Result<i64, Error> {
    let mut owned = 0;
    for wallet in program.wallets() {
        let account = AccountKey {
            wallet: &wallet,
            ..standing.key()
        };
        if let Some(standing) = work.standing(account).await? {
            let holding = standing.holding();
            owned += holding.points + holding.held - holding.debt;
        }
    }
    Ok(owned)
}

/// Tells the notices that a member's lots are due for; returns how many.
async fn tell(work: &mut Work<'_>, lock: &mut Lock, program: &Program) -> Result<i64, Error> {
    let days = &program.expiry_notice_days;
    if days.is_empty() {
        return Ok(0);
    }
    let now = work.now();
    let customer_id = lock.customer_id.clone();
    let mut told = 0;
    let program_id = program.program_id.as_str();
    let mut lots = Vec::new();
    for wallet in program.wallets() {
        let account = AccountKey {
            customer_id: &customer_id,
            program_id,
            wallet: &wallet,
        };
        lots.extend(work.open_lots(account).await?);
    }
    for lot in lots {
        let Some(expires_at) = lot.expires_at.filter(|_| lot.remaining > 0) else {
            continue;
        };
        let Some(days) = expiry::notice(days, expires_at, now) else {
            continue;
        };
        if notices::is_told(work.tx(), &customer_id, &lot.lot_id, (expires_at, days)).await? {
            continue;
        }
        let notice = NoticeRow {
            customer_id: customer_id.clone(),
            lot_id: lot.lot_id,
            expires_at,
            days,
            program_id: program.program_id.to_string(),
            revision: lock.next(),
            points: lot.remaining,
            told_at: now,
        };
        notices::insert(work.direct(), &notice).await?;
        events::points_expiring(work.tx(), &notice, program.code_of(&lot.wallet));
        told += 1;
    }
    Ok(told)
}
