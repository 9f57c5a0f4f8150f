//! The sweep: what time has done, posted without waiting for the member's next call.
//!
//! Nothing depends on it: readers go by the clock, and the next decision about a member posts the same in passing.
//! It makes it known: events of holds that timed out, of points that expired, and notices of points that will.
//! Each member is done in a transaction of its own under the customer's lock, so several replicas may sweep at
//! once: whoever comes second finds nothing left to do.

mod due;
mod run;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::time::Duration;

use common::db::Tx;
use common::ids::CustomerId;
use tokio_util::sync::CancellationToken;

use self::due::Due;
pub use self::due::Place;
pub use self::run::SweepRun;
use super::holds::let_go_timed_out;
use super::{Change, Origin, merges, write};
use crate::domain::expiry;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::store::accounts::{AccountKey, MemberKey};
use crate::store::due::DueRow;
use crate::store::holds;
use crate::store::members::{Lock, Standing};
use crate::store::notices::{self, NoticeRow};
use crate::store::runs::MemberRow;
use crate::work::Work;
use crate::{State, events};

/// How often a member is tried when others get in its way.
const ATTEMPTS: u32 = 5;

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

impl From<&MemberRow> for Swept {
    fn from(row: &MemberRow) -> Self {
        let is_done = row.revision.is_some();
        Self {
            members: is_done.into(),
            holds_expired: row.holds_expired,
            points_expired: row.points_expired,
            notices: row.notices,
            failed: (!is_done).into(),
        }
    }
}

/// A sweep under way, of which nothing is kept.
pub struct Sweep {
    state: State,
    extent: Extent,
    due: Due,
    place: Option<Place>,
    // Who is not done again although found again: who failed, and who was only told of.
    passed: BTreeSet<(CustomerId, String)>,
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
        let now = state.platform.now();
        Ok(Self {
            extent,
            due: Due::at(&state, now).await?,
            place: None,
            passed: BTreeSet::new(),
            state,
        })
    }

    /// Does a bounded number of members; returns what was done for whom, or `None` at the end.
    pub async fn batch(&mut self) -> Result<Option<Vec<MemberRow>>, Error> {
        let Some((place, found)) = self.due.next(&self.state, self.place.as_ref()).await? else {
            return Ok(None);
        };
        self.place = Some(place);
        let mut once = BTreeSet::new();
        let mut members = Vec::new();
        for row in found {
            let member = (row.customer_id.clone(), row.program_id.clone());
            if self.passed.contains(&member) || !once.insert(member.clone()) {
                continue;
            }
            let done = persistently(|| self.member(&row)).await;
            let done = done.unwrap_or_else(|error| {
                warn(&error, &row);
                Some(could_not(&row))
            });
            let has_failed = done.as_ref().is_some_and(|done| done.revision.is_none());
            if has_failed || self.extent == Extent::Told {
                self.passed.insert(member);
            }
            members.extend(done);
        }
        Ok(Some(members))
    }

    async fn member(&self, row: &DueRow) -> Result<Option<MemberRow>, Error> {
        let mut tx = self.state.platform.tx().await?;
        let done = member(&self.state, &mut tx, row).await?;
        if done.is_some() && self.extent == Extent::Made {
            tx.commit().await?;
        }
        Ok(done)
    }
}

/// Tries again while others get in the way.
async fn persistently<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is_race() => {}
            done => return done,
        }
    }
    attempt().await
}

/// A member who cannot be done does not keep the others from it.
fn warn(error: &Error, row: &DueRow) {
    let (customer_id, program_id) = (&row.customer_id, &row.program_id);
    tracing::warn!(%error, customer.id = %customer_id, program.id = %program_id,
        "a member was not swept");
}

fn could_not(row: &DueRow) -> MemberRow {
    MemberRow {
        customer_id: row.customer_id.clone(),
        program_id: row.program_id.clone(),
        revision: None,
        holds_expired: 0,
        points_expired: 0,
        notices: 0,
    }
}

/// Does one member; `None` where nothing is due any more.
async fn member(state: &State, tx: &mut Tx, row: &DueRow) -> Result<Option<MemberRow>, Error> {
    let program_id = ProgramId::parse(&row.program_id).map_err(common::Error::Internal)?;
    let program = state.programs.get(tx, &program_id).await?;
    let mut work = Work::new(tx);
    let Some(mut lock) = work.lock(&row.customer_id).await? else {
        return Ok(None);
    };
    let swept = post(state, &mut work, &mut lock, &program).await?;
    if swept == Swept::default() {
        return Ok(None);
    }
    work.settle(&lock);
    work.flush().await?;
    Ok(Some(MemberRow {
        customer_id: row.customer_id.clone(),
        program_id: row.program_id.clone(),
        revision: Some(lock.revision),
        holds_expired: swept.holds_expired,
        points_expired: swept.points_expired,
        notices: swept.notices,
    }))
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
    merges::pass_on(state, work, program, customer_id).await?;
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
