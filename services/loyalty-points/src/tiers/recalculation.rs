//! All of a program's tiers, decided anew.
//!
//! Tiers are right without it, as readers and postings notice what time has done. It makes the changes known:
//! history, events, and whoever follows them.

use std::sync::Arc;

use common::page::PageRequest;

use super::{Cause, Decision, catch_up, decide};
use crate::State;
use crate::domain::program::Program;
use crate::error::Error;
use crate::store::members::Standing;
use crate::store::recalculation::{self, Batch};
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
        let now = platform.now();
        let mut db = platform.reader().await?;
        let batch = Batch {
            program_id: self.program.program_id.as_str(),
            after,
            limit: self.page.size + 1,
        };
        let mut standings = recalculation::list_standings(&mut db, batch, now).await?;
        // Deciding anew needs a connection that writes: this one goes back first.
        drop(db);
        let customer_of = |standing: &Standing| standing.member.customer_id.to_string();
        let next_token = self.page.cut(&mut standings, customer_of);
        let last = standings.last().map(customer_of);
        let mut changes = Vec::new();
        for standing in &standings {
            let decision = Decision {
                policy: &self.program.tier_policy,
                qualification: standing.qualification(),
                cause: Cause::Usual,
            };
            let verdict = decide(standing, &decision, now);
            let Some(reason) = verdict.reason else {
                continue;
            };
            let customer_id = &standing.member.customer_id;
            if self.extent == Extent::Made {
                // Decided again under the lock: what was posted since counts.
                let caught_up = catch_up(&self.state, &self.program, customer_id).await?;
                changes.extend(caught_up.and_then(|(_, change)| change));
                continue;
            }
            changes.push(TierChangeRow {
                customer_id: customer_id.clone(),
                revision: 0,
                program_id: standing.member.program_id.clone(),
                from_tier: standing.tier.clone(),
                to_tier: verdict.tier,
                reason: reason.to_owned(),
                points: decision.qualification.points,
                changed_at: now,
                actor: String::new(),
                remark: String::new(),
            });
        }
        Ok(Recalculated {
            members: standings.len(),
            changes,
            last: last.filter(|_| !next_token.is_empty()),
            next_token,
        })
    }
}
