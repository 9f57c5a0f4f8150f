//! The sweep: what time has done, posted without waiting for the member's next call.
//!
//! Nothing depends on it: readers go by the clock, and the next decision about a member posts the same in passing.
//! It makes it known: events of holds that timed out, of points that expired, and notices of points that will.
//! Each member is done in a transaction of its own under the customer's lock, so several replicas may sweep at
//! once: whoever comes second finds nothing left to do.

mod due;
mod member;
mod run;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::time::Duration;

use common::ids::CustomerId;
use tokio_util::sync::CancellationToken;

use self::due::Due;
pub use self::due::Place;
use self::member::member;
pub use self::run::SweepRun;
use crate::State;
use crate::error::Error;
use crate::store::due::DueRow;
use crate::store::runs::MemberRow;
use crate::work::Reach;

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
            let done = persistently(|reach| self.member(&row, reach)).await;
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

    async fn member(&self, row: &DueRow, reach: Reach) -> Result<Option<MemberRow>, Error> {
        let mut tx = self.state.platform.tx().await?;
        let done = member(&self.state, &mut tx, (row, self.extent), reach).await?;
        if done.is_some() && self.extent == Extent::Made {
            tx.commit().await?;
        }
        Ok(done)
    }
}

/// Tries again while others get in the way, who do so once at most where they are the same person.
async fn persistently<T, F>(attempt: impl Fn(Reach) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut done = attempt(Reach::Named).await;
    for _ in 1..ATTEMPTS {
        if !matches!(&done, Err(error) if error.is_race()) {
            break;
        }
        done = attempt(Reach::Persons).await;
    }
    done
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
        passed_on: Vec::new(),
    }
}
