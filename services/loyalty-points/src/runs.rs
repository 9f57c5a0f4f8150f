//! Runs: what somebody asks for that takes many transactions, and who asked for it and why.
//!
//! A run goes on in batches. What is looked at in a batch is decided first, what is done for a member is written in the
//! same transaction as the doing, and a batch that was gone through is closed. Callers are only ever told what is
//! stored of closed batches: whoever asks again, or at the same time, is told the same, and goes on where the run is.
//! The run's row is locked in each of these transactions, always before any customer.
//!
//! Invariants: in a run, each member is done once; what is told of a batch never changes.

use std::time::Duration;

use common::db::Tx;
use common::ids::CustomerId;
use common::mutation::ANSWERS_KEPT;
use common::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::State;
use crate::error::Error;
use crate::store::runs::{self, MemberRow, Progress, RunRow};

/// Members forgotten in one transaction: on SQLite nobody else writes meanwhile.
const FORGOTTEN_AT_ONCE: i64 = 2000;
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// What is to be kept of a call.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Full name of the method.
    pub method: &'static str,
    /// The caller's; may be empty.
    pub request_id: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl NewRun {
    /// Writes it as begun now, and as finished now where there is nothing to go on with.
    pub async fn insert(self, tx: &mut Tx, run_id: &str, end: End) -> Result<(), Error> {
        let begun_at = tx.now();
        let run = RunRow {
            run_id: run_id.to_owned(),
            method: self.method.to_owned(),
            request_id: Some(self.request_id).filter(|id| !id.is_empty()),
            actor: self.actor,
            reason: self.reason,
            begun_at,
            finished_at: (end == End::Reached).then_some(begun_at),
        };
        Ok(runs::insert(tx, &run).await?)
    }
}

/// Whether a run comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It does.
    Reached,
    /// It goes on.
    Ahead,
}

/// A batch of a run.
pub struct Batch<'a> {
    /// What use cases share.
    pub state: &'a State,
    /// The run.
    pub run: &'a RunRow,
    /// Which batch, from 0.
    pub number: i64,
}

/// How a run is gone through.
pub trait Steps: Sync {
    /// What is looked at in a batch.
    type Plan: Serialize + DeserializeOwned + Send + Sync;

    /// What comes after a batch; `None`: nothing is left.
    fn plan(
        &self,
        after: Option<&Self::Plan>,
    ) -> impl Future<Output = Result<Option<Self::Plan>, Error>> + Send;

    /// Does the members of a batch, each in a transaction that [enters](Batch::enter) it first.
    fn work(
        &self,
        batch: &Batch<'_>,
        after: Option<&Self::Plan>,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether the run ends with a batch.
    fn end(plan: &Self::Plan) -> End;
}

impl Batch<'_> {
    /// Does the batch unless it was done before. Once it is closed, returns what was looked at in it; `None` where the
    /// run has ended before it.
    pub async fn closed<S: Steps>(
        &self,
        steps: &S,
        after: Option<&S::Plan>,
    ) -> Result<Option<S::Plan>, Error> {
        loop {
            let mut db = self.state.platform.reader().await?;
            let progress = runs::find_progress(&mut db, &self.run.run_id).await?;
            let progress = progress.ok_or_else(|| self.gone())?;
            let plan = runs::find_plan(&mut db, &self.run.run_id, self.number).await?;
            drop(db);
            let plan: Option<S::Plan> = plan.map(|text| self.parse(&text)).transpose()?;
            if progress.batches > self.number {
                return Ok(plan);
            }
            if progress.finished_at.is_some() {
                return Ok(None);
            }
            let Some(plan) = plan else {
                let plan = steps.plan(after).await?;
                self.open(plan.as_ref()).await?;
                continue;
            };
            steps.work(self, after, &plan).await?;
            self.close(S::end(&plan)).await?;
        }
    }

    /// Locks the run, if the member is to be done in this batch: not if it was done before, and not if the batch is
    /// closed.
    pub async fn enter(
        &self,
        tx: &mut Tx,
        customer_id: &CustomerId,
        program_id: &str,
    ) -> Result<bool, Error> {
        let run_id = &self.run.run_id;
        Ok(self.lock(tx).await?.is_some()
            && !runs::has_member(tx, run_id, customer_id, program_id).await?)
    }

    /// Writes what was done for a member, in a transaction that has entered.
    pub async fn note(&self, tx: &mut Tx, member: &MemberRow) -> Result<(), Error> {
        Ok(runs::insert_member(tx, &self.run.run_id, self.number, member).await?)
    }

    /// Writes that a member could not be done.
    pub async fn note_failed(
        &self,
        customer_id: &CustomerId,
        program_id: &str,
    ) -> Result<(), Error> {
        let mut tx = self.state.platform.tx().await?;
        if self.enter(&mut tx, customer_id, program_id).await? {
            let member = MemberRow {
                customer_id: customer_id.clone(),
                program_id: program_id.to_owned(),
                revision: None,
                holds_expired: 0,
                points_expired: 0,
                notices: 0,
                passed_on: Vec::new(),
            };
            self.note(&mut tx, &member).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Writes what is looked at, or that the run has ended, unless somebody else was first.
    async fn open<P: Serialize>(&self, plan: Option<&P>) -> Result<(), Error> {
        let mut tx = self.state.platform.tx().await?;
        let Some(progress) = self.lock(&mut tx).await? else {
            return Ok(());
        };
        let run_id = &self.run.run_id;
        if let Some(plan) = plan {
            let plan = serde_json::to_string(plan).expect("a plan is plain values");
            runs::insert_batch(&mut tx, run_id, self.number, &plan).await?;
        } else if runs::find_plan(&mut tx, run_id, self.number)
            .await?
            .is_none()
        {
            let ended = Progress {
                finished_at: Some(tx.now()),
                ..progress
            };
            runs::update_progress(&mut tx, run_id, ended).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn close(&self, end: End) -> Result<(), Error> {
        let mut tx = self.state.platform.tx().await?;
        if self.lock(&mut tx).await?.is_some() {
            let closed = Progress {
                batches: self.number + 1,
                finished_at: (end == End::Reached).then(|| tx.now()),
            };
            runs::update_progress(&mut tx, &self.run.run_id, closed).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Locks the run, if this batch is the one that it is at.
    async fn lock(&self, tx: &mut Tx) -> Result<Option<Progress>, Error> {
        let progress = runs::lock(tx, &self.run.run_id).await?;
        let progress = progress.ok_or_else(|| self.gone())?;
        let is_open = progress.batches == self.number && progress.finished_at.is_none();
        Ok(Some(progress).filter(|_| is_open))
    }

    fn parse<P: DeserializeOwned>(&self, text: &str) -> Result<P, Error> {
        let run_id = &self.run.run_id;
        let broken = |error| format!("plan of run {run_id}: {error}");
        let plan =
            serde_json::from_str(text).map_err(|error| common::Error::Internal(broken(error)));
        Ok(plan?)
    }

    fn gone(&self) -> common::Error {
        common::Error::Internal(format!("run {} is gone", self.run.run_id))
    }
}

/// Forgets old runs every so often until stopped.
pub async fn run(state: State, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    // The first tick is at once: a process that restarts often still forgets.
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = forget(&state).await {
            tracing::warn!(%error, "old runs are not forgotten, trying again later");
        }
    }
}

/// Forgets the runs that are as old as answers that are not kept any more.
async fn forget(state: &State) -> Result<(), Error> {
    let before: Timestamp = state.platform.now() - ANSWERS_KEPT;
    loop {
        let mut tx = state.platform.tx().await?;
        let Some(run_id) = runs::lock_old(&mut tx, before).await? else {
            return Ok(());
        };
        runs::delete(&mut tx, &run_id, FORGOTTEN_AT_ONCE).await?;
        tx.commit().await?;
    }
}
