//! All of a program's tiers, decided anew.
//!
//! Tiers are right without it, as readers and postings notice what time has done. It makes the changes known:
//! history, events, and whoever follows them.

use std::sync::Arc;

use common::page::PageRequest;
use common::time::Timestamp;

use super::{Cause, basis, catch_up, decide};
use crate::State;
use crate::domain::program::Program;
use crate::error::Error;
use crate::store::members::{self, Batch, Standing};
use crate::store::tiers::TierChangeRow;

/// Whether the moves are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// They are.
    Made,
    /// They are told only.
    Told,
}

/// A recalculation under way.
#[derive(Clone)]
pub struct Recalculation {
    /// What use cases share.
    pub state: State,
    /// The program.
    pub program: Arc<Program>,
    /// Members in a batch, and how its token is made.
    pub page: PageRequest,
    /// Whether the moves are made.
    pub extent: Extent,
    /// The instant to decide for, if not now; moves for another one are told only.
    pub as_of: Option<Timestamp>,
}

/// A batch of members whose tiers were decided anew.
#[derive(Debug)]
pub struct Recalculated {
    /// How many members.
    pub members: usize,
    /// The tiers that are others now, by customer.
    pub changes: Vec<TierChangeRow>,
    /// The last member, if there are more after it.
    pub last: Option<String>,
    /// Token of the next batch; empty at the end.
    pub next_token: String,
}

impl Recalculation {
    /// Decides the members after one. A transaction for each member that moves: who posts meanwhile waits for
    /// one member at most, and no two members are ever locked together.
    pub async fn batch(&self, after: &str) -> Result<Recalculated, Error> {
        let platform = &self.state.platform;
        let now = self.as_of.unwrap_or_else(|| platform.now());
        let mut db = platform.reader().await?;
        let batch = Batch {
            program_id: self.program.program_id.as_str(),
            after,
            limit: self.page.size + 1,
        };
        let mut standings = members::list_batch(&mut db, batch, now).await?;
        let customer_of = |standing: &Standing| standing.member.customer_id.to_string();
        let next_token = self.page.cut(&mut standings, customer_of);
        let last = standings.last().map(customer_of);
        let mut moves = Vec::new();
        let bases = basis::of_many(&self.state, &mut db, &standings, now).await?;
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
                    actor: String::new(),
                    remark: String::new(),
                    policy_version: basis.version.version,
                });
            }
        }
        // Deciding anew needs a connection that writes: this one goes back first.
        drop(db);
        let changes = match self.extent {
            Extent::Told => moves,
            Extent::Made => self.made(moves).await?,
        };
        Ok(Recalculated {
            members: standings.len(),
            changes,
            last: last.filter(|_| !next_token.is_empty()),
            next_token,
        })
    }

    /// Decides again, each under the customer's lock: what was posted since counts.
    async fn made(&self, moves: Vec<TierChangeRow>) -> Result<Vec<TierChangeRow>, Error> {
        let mut changes = Vec::with_capacity(moves.len());
        for told in moves {
            let program_id = &self.program.program_id;
            let caught_up =
                catch_up(&self.state, program_id, &told.customer_id, Cause::Usual).await?;
            changes.extend(caught_up.and_then(|caught_up| caught_up.change));
        }
        Ok(changes)
    }
}
