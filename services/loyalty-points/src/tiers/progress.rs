//! How far a member is from the tiers above, and when the tier would move by itself.

use common::time::Timestamp;

use super::basis::{self, Basis};
use super::reads::Wanted;
use crate::State;
use crate::domain::overrides::{self as given, TierOverride};
use crate::domain::progress::{self, Counts, Move, Start};
use crate::error::Error;
use crate::store::members;
use crate::store::qualifying::{self, Since};
use crate::store::tier_overrides;

/// A member's progress.
#[derive(Debug)]
pub struct Progress {
    /// The policy that holds, and what is earned under it.
    pub basis: Basis,
    /// The instant it holds for.
    pub as_of: Timestamp,
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
    let policies = state.programs.policies_in(&mut db, program_id).await?;
    let as_of = wanted.as_of.unwrap_or_else(|| state.platform.now());
    let name = program_id.as_str();
    let standings = members::list_standings(&mut db, &[customer_id], name, as_of).await?;
    let standing = standings.into_iter().next();
    let standing = standing.ok_or_else(|| Error::MemberNotFound {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
    })?;
    let basis = basis::of(state, &mut db, &standing, as_of).await?;
    let winning = tier_overrides::find_at(&mut db, customer_id, name, as_of).await?;
    let enrolled_at = standing.member.enrolled_at;
    let mut counts = Counts::default();
    for (metric, after) in progress::needed(&policies, enrolled_at, as_of) {
        let since = Since {
            customer_id,
            program_id: name,
            after,
            metric,
        };
        *counts.of_mut(metric) = qualifying::list(&mut db, since).await?;
    }
    let start = Start {
        as_of,
        enrolled_at,
        counts: &counts,
        winning: winning.as_ref(),
    };
    let moves = progress::project(&policies, start);
    // It wins again once a version holds that has its tier.
    let winning = winning.filter(|given| given::known(basis.policy(), Some(given)).is_some());
    Ok(Progress {
        basis,
        as_of,
        winning,
        moves,
    })
}
