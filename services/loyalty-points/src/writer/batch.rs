//! One batch: a transaction for all, and for each one alone where that does not work out.

use common::error::is_conflict;
use common::mutation::Answers;
use common::telemetry::metrics;
use tonic::Status;

use super::posting::Job;
use crate::State;
use crate::error::Error;
use crate::ledger::limits;
use crate::work::{Care, Needs, Reach, Work};

/// How often a posting alone is tried when others get in its way.
const ATTEMPTS: u32 = 5;

/// Why a transaction came to nothing.
enum Failure {
    /// One of several postings stands in the others' way, or another transaction got in between.
    Apart,
    /// It failed.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Platform(common::Error::Contended) => Self::Apart,
            Error::Platform(common::Error::Database(error)) => error.into(),
            error => Self::Failed(error),
        }
    }
}

impl From<common::Error> for Failure {
    fn from(error: common::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_conflict(&error) {
            Self::Apart
        } else {
            Self::Failed(error.into())
        }
    }
}

/// Commits postings and tells their callers.
pub(super) async fn work_off(state: &State, mut jobs: Vec<Box<dyn Job>>) {
    metrics::batch("postings", jobs.len() as u64);
    match commit(state, &mut jobs, Care::Quick).await {
        Ok(()) => {}
        Err(Failure::Failed(error)) if !is_of_one(&error) => fail(&mut jobs, error),
        Err(_) => {
            for job in &mut jobs {
                alone(state, job).await;
            }
        }
    }
    for job in jobs {
        job.tell();
    }
}

/// Whether the database refused a statement, which one posting may be to blame for.
fn is_of_one(error: &Error) -> bool {
    let Error::Platform(common::Error::Database(error)) = error else {
        return false;
    };
    error.as_database_error().is_some() && !common::error::is_unavailable(error)
}

/// One posting in a transaction of its own.
async fn alone(state: &State, job: &mut Box<dyn Job>) {
    let jobs = std::slice::from_mut(job);
    for _ in 0..ATTEMPTS {
        let failure = match commit(state, jobs, Care::Thorough).await {
            Ok(()) => return,
            Err(failure) => failure,
        };
        if let Failure::Failed(error) = failure {
            return fail(jobs, error);
        }
    }
    fail(jobs, common::Error::Contended.into());
}

fn fail(jobs: &mut [Box<dyn Job>], error: Error) {
    let status = Status::from(error);
    for job in jobs {
        job.fail(status.clone());
    }
}

/// Decides all, writes all, commits once.
async fn commit(state: &State, jobs: &mut [Box<dyn Job>], care: Care) -> Result<(), Failure> {
    let mut tx = state.platform.tx().await?;
    let calls: Vec<_> = jobs.iter().map(|job| job.call()).collect();
    let mut answers = Answers::read(&mut tx, &calls).await?;
    let mut work = Work::with(&mut tx, care);
    let mut needs = Needs::default();
    for job in jobs.iter_mut() {
        if !job.replay(&answers) {
            needs.customers.extend_from_slice(&job.needs().customers);
            needs.sources.extend_from_slice(&job.needs().sources);
        }
    }
    let reach = match care {
        Care::Quick => Reach::Named,
        // What was done for several at once came to nothing.
        Care::Thorough => Reach::Persons,
    };
    let needs = reach.of(needs, work.tx()).await?;
    work.read(&needs).await?;
    if work.is_limited() {
        let earnings: Vec<_> = jobs.iter().flat_map(|job| job.earnings()).collect();
        limits::read_ahead(state, &mut work, &earnings).await?;
    }
    for job in jobs.iter_mut() {
        // Asked again, now that the ones before may have answered the same call.
        if job.replay(&answers) {
            continue;
        }
        let mark = work.mark().await?;
        if job.decide(state, &mut work).await? {
            work.keep(mark).await?;
        } else if !work.undo_to(mark).await? {
            return Err(Failure::Apart);
        }
        job.note(&mut answers);
    }
    work.flush().await?;
    if !answers.write(work.tx()).await? {
        return Err(Failure::Apart);
    }
    work.write_usage().await?;
    // Whether a commit that fails took place is not known: nobody tries that again but the caller.
    tx.commit()
        .await
        .map_err(|error| Failure::Failed(error.into()))
}
