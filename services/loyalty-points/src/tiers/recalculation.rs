//! All of a program's tiers, decided anew.
//!
//! Tiers are right without it, as readers and postings notice what time has done. It makes the changes known:
//! history, events, and whoever follows them.

use std::sync::Arc;

use common::db::Access;
use common::page::PageRequest;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{By, Cause, basis, catch_up_within, decide};
use crate::State;
use crate::domain::program::Program;
use crate::error::Error;
use crate::runs::{self, End, Steps};
use crate::store::members::{self, Standing};
use crate::store::runs::{MemberRow, RunRow};
use crate::store::tiers::{self, TierChangeRow};

/// A recalculation under way.
#[derive(Clone)]
pub struct Recalculation {
    /// What use cases share.
    pub state: State,
    /// The program.
    pub program: Arc<Program>,
    /// Members in a batch, and how its token is made.
    pub page: PageRequest,
}

/// Members that are decided together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// How many.
    members: usize,
    /// The last of them; absent where there are none.
    last: Option<String>,
    /// Token of the next batch; empty at the end.
    next_token: String,
}

/// A batch of members whose tiers were decided anew.
#[derive(Debug)]
pub struct Recalculated {
    /// How many members.
    pub members: usize,
    /// The tiers that are others now, by customer.
    pub changes: Vec<TierChangeRow>,
    /// Token of the next batch; empty at the end.
    pub next_token: String,
}

impl Plan {
    /// Whether members come after these.
    pub fn has_next(&self) -> bool {
        !self.next_token.is_empty()
    }

    fn told(self, changes: Vec<TierChangeRow>) -> Recalculated {
        Recalculated {
            members: self.members,
            changes,
            next_token: self.next_token,
        }
    }
}

impl Recalculation {
    /// Tells who among the members after a batch would move at an instant, and moves nobody.
    pub async fn tell(
        &self,
        after: Option<&Plan>,
        as_of: Option<Timestamp>,
        by: By<'_>,
    ) -> Result<(Plan, Recalculated), Error> {
        let at = as_of.unwrap_or_else(|| self.state.platform.now());
        let mut db = self.state.platform.snapshot().await?;
        let (plan, standings) = self.standings(&mut db, &self.start(after), at).await?;
        let moves = self.moves(&mut db, &standings, (at, by)).await?;
        Ok((plan.clone(), plan.told(moves)))
    }

    /// Makes the moves of a batch of a run, or tells those that were made.
    pub async fn batch(
        &self,
        run: &RunRow,
        number: i64,
        after: Option<&Plan>,
    ) -> Result<Option<(Plan, Recalculated)>, Error> {
        let batch = runs::Batch {
            state: &self.state,
            run,
            number,
        };
        let Some(plan) = batch.closed(self, after).await? else {
            return Ok(None);
        };
        let mut db = self.state.platform.reader().await?;
        let changes = tiers::list_of_run(&mut db, &run.run_id, number).await?;
        Ok(Some((plan.clone(), plan.told(changes))))
    }

    /// Who comes before the batch.
    fn start(&self, after: Option<&Plan>) -> String {
        match after {
            Some(plan) => plan.last.clone().unwrap_or_default(),
            None => self.page.after().unwrap_or_default(),
        }
    }

    async fn standings(
        &self,
        db: &mut impl Access,
        after: &str,
        now: Timestamp,
    ) -> Result<(Plan, Vec<Standing>), Error> {
        let batch = members::Batch {
            program_id: self.program.program_id.as_str(),
            after,
            limit: self.page.size + 1,
        };
        let mut standings = members::list_batch(db, batch, now).await?;
        let customer_of = |standing: &Standing| standing.member.customer_id.to_string();
        let next_token = self.page.cut(&mut standings, customer_of);
        let plan = Plan {
            members: standings.len(),
            last: standings.last().map(customer_of),
            next_token,
        };
        Ok((plan, standings))
    }

    /// What would move. Standings and what they rest on are of one state of the database: else there might be told a move
    /// that nobody ever made.
    async fn moves(
        &self,
        db: &mut impl Access,
        standings: &[Standing],
        (now, by): (Timestamp, By<'_>),
    ) -> Result<Vec<TierChangeRow>, Error> {
        let mut moves = Vec::new();
        let bases = basis::of_many(&self.state, db, standings, now).await?;
        for (standing, basis) in standings.iter().zip(bases) {
            let verdict = decide(standing, &basis, Cause::Usual, now);
            if let Some(reason) = verdict.reason {
                moves.push(TierChangeRow {
                    customer_id: standing.member.customer_id.clone(),
                    revision: 0,
                    program_id: standing.member.program_id.clone(),
                    from_tier: standing.tier.clone(),
                    to_tier: verdict.tier,
                    reason: reason.to_owned(),
                    points: basis.earned.amount,
                    changed_at: now,
                    actor: by.actor.to_owned(),
                    remark: by.remark.to_owned(),
                    policy_version: basis.version.version,
                });
            }
        }
        Ok(moves)
    }

    /// Decides a member again, under the customer's lock: what was posted since counts.
    async fn make(&self, batch: &runs::Batch<'_>, told: &TierChangeRow) -> Result<(), Error> {
        let (program_id, customer_id) = (told.program_id.as_str(), &told.customer_id);
        let mut tx = self.state.platform.tx().await?;
        if !batch.enter(&mut tx, customer_id, program_id).await? {
            return Ok(());
        }
        // Who was merged or closed meanwhile has no tier to decide.
        let stands = |it: &Standing| it.member.survivor.is_none() && !it.member.is_closed();
        let member = ((program_id, customer_id), stands);
        let caught_up =
            catch_up_within(&self.state, &mut tx, member, Cause::Usual, by(batch)).await?;
        let Some(caught_up) = caught_up else {
            return Ok(());
        };
        if let Some(change) = caught_up.change {
            let member = MemberRow {
                customer_id: change.customer_id,
                program_id: change.program_id,
                revision: Some(change.revision),
                holds_expired: 0,
                points_expired: 0,
                notices: 0,
                passed_on: Vec::new(),
            };
            batch.note(&mut tx, &member).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// On whose behalf a run moves members.
fn by<'a>(batch: &runs::Batch<'a>) -> By<'a> {
    By {
        actor: &batch.run.actor,
        remark: &batch.run.reason,
    }
}

impl Steps for Recalculation {
    type Plan = Plan;

    async fn plan(&self, after: Option<&Plan>) -> Result<Option<Plan>, Error> {
        if after.is_some_and(|plan| !plan.has_next()) {
            return Ok(None);
        }
        let now = self.state.platform.now();
        let mut db = self.state.platform.reader().await?;
        let (plan, _) = self.standings(&mut db, &self.start(after), now).await?;
        Ok(Some(plan))
    }

    /// A transaction for each member that moves: who posts meanwhile waits for one member at most, and no two members
    /// are ever locked together.
    async fn work(
        &self,
        batch: &runs::Batch<'_>,
        after: Option<&Plan>,
        plan: &Plan,
    ) -> Result<(), Error> {
        let Some(last) = &plan.last else {
            return Ok(());
        };
        let mut after = self.start(after);
        // Whoever enrolled since the batch was planned may make a page of it longer.
        while after < *last {
            let now = self.state.platform.now();
            let mut db = self.state.platform.snapshot().await?;
            let (page, mut standings) = self.standings(&mut db, &after, now).await?;
            standings.retain(|standing| standing.member.customer_id.as_str() <= last.as_str());
            let moves = self.moves(&mut db, &standings, (now, by(batch))).await?;
            drop(db);
            for told in moves {
                self.make(batch, &told).await?;
            }
            let Some(to) = page.last else {
                break;
            };
            after = to;
        }
        Ok(())
    }

    fn end(plan: &Plan) -> End {
        if plan.has_next() {
            End::Ahead
        } else {
            End::Reached
        }
    }
}
