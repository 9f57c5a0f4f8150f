//! How far a member is from the tiers above, and when the tier would move by itself.

use std::sync::Arc;

use common::time::Timestamp;

use super::Wanted;
use crate::State;
use crate::domain::overrides::TierOverride;
use crate::domain::program::Program;
use crate::domain::progress::{self, Move, Start};
use crate::error::Error;
use crate::members;
use crate::store::qualifying::{self, Since};
use crate::store::tier_overrides;

/// A member's progress.
#[derive(Debug)]
pub struct Progress {
    /// The program.
    pub program: Arc<Program>,
    /// The instant it holds for.
    pub as_of: Timestamp,
    /// Points that count then.
    pub points: i64,
    /// The tier given by hand, if one wins then.
    pub winning: Option<TierOverride>,
    /// The moves to come.
    pub moves: Vec<Move>,
}

/// A member's progress at an instant, in one snapshot and by what is known now.
pub async fn get(state: &State, wanted: &Wanted) -> Result<Progress, Error> {
    let Wanted {
        program_id,
        customer_id,
        ..
    } = wanted;
    let mut db = state.platform.snapshot().await?;
    members::get(state, &mut db, program_id, customer_id).await?;
    let program = state.programs.get(&mut db, program_id).await?;
    let policy = &program.tier_policy;
    let as_of = wanted.as_of.unwrap_or_else(|| state.platform.now());
    let program_id = program_id.as_str();
    let winning = tier_overrides::find_at(&mut db, customer_id, program_id, as_of).await?;
    let since = Since {
        customer_id,
        program_id,
        after: as_of - policy.window(),
    };
    let earnings = qualifying::list(&mut db, since).await?;
    let counts = earnings.iter().filter(|earning| earning.earned_at <= as_of);
    let points = counts.map(|earning| earning.points).sum();
    let start = Start {
        as_of,
        earnings: &earnings,
        winning: winning.as_ref(),
    };
    let moves = progress::project(policy, start);
    Ok(Progress {
        program,
        as_of,
        points,
        winning,
        moves,
    })
}
