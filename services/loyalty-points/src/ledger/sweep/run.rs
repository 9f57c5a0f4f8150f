//! A sweep that somebody asked for: what was done for whom is kept.

use std::collections::BTreeSet;

use super::due::{DUE_AT_ONCE, Due, Place};
use super::{Extent, member, persistently, warn};
use crate::State;
use crate::error::Error;
use crate::runs::{Batch, End, Steps};
use crate::store::due::DueRow;
use crate::store::runs::{self, MemberRow, RunRow};
use crate::work::Reach;

/// A run that sweeps what was due when it began.
pub struct SweepRun {
    state: State,
    run: RunRow,
    due: Due,
}

impl SweepRun {
    /// Of a run that has begun.
    pub async fn of(state: State, run: RunRow) -> Result<Self, Error> {
        let due = Due::at(&state, run.begun_at).await?;
        Ok(Self { state, run, due })
    }

    /// Does a batch, or tells what was done in it: up to where it looked, and what it did for whom. `None` at the end.
    pub async fn batch(
        &self,
        number: i64,
        after: Option<&Place>,
    ) -> Result<Option<(Place, Vec<MemberRow>)>, Error> {
        let batch = Batch {
            state: &self.state,
            run: &self.run,
            number,
        };
        let Some(place) = batch.closed(self, after).await? else {
            return Ok(None);
        };
        let mut db = self.state.platform.reader().await?;
        let members = runs::list_members(&mut db, &self.run.run_id, number).await?;
        Ok(Some((place, members)))
    }

    async fn done(&self, batch: &Batch<'_>, row: &DueRow, reach: Reach) -> Result<(), Error> {
        let mut tx = self.state.platform.tx().await?;
        if !batch
            .enter(&mut tx, &row.customer_id, &row.program_id)
            .await?
        {
            return Ok(());
        }
        let Some(done) = member(&self.state, &mut tx, (row, Extent::Made), reach).await? else {
            return Ok(());
        };
        batch.note(&mut tx, &done).await?;
        Ok(tx.commit().await?)
    }
}

impl Steps for SweepRun {
    type Plan = Place;

    async fn plan(&self, after: Option<&Place>) -> Result<Option<Place>, Error> {
        let next = self.due.next(&self.state, after).await?;
        Ok(next.map(|(place, _)| place))
    }

    async fn work(
        &self,
        batch: &Batch<'_>,
        after: Option<&Place>,
        to: &Place,
    ) -> Result<(), Error> {
        let mut after = after.cloned();
        let mut once = BTreeSet::new();
        loop {
            let page = self.due.between(&self.state, after.as_ref(), to).await?;
            for row in &page {
                if !once.insert((row.customer_id.clone(), row.program_id.clone())) {
                    continue;
                }
                if let Err(error) = persistently(|reach| self.done(batch, row, reach)).await {
                    warn(&error, row);
                    batch.note_failed(&row.customer_id, &row.program_id).await?;
                }
            }
            match page.last() {
                // What was due there since the batch was planned may make it longer than a page.
                Some(last) if page.len() == DUE_AT_ONCE => after = Some(to.behind(last)),
                _ => return Ok(()),
            }
        }
    }

    /// That nothing is left is found by looking.
    fn end(_: &Place) -> End {
        End::Ahead
    }
}
