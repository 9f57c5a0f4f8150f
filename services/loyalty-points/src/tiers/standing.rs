//! A member's tier as it is cached.

use common::cache::Versioned;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::overrides::{self as given, TierOverride};
use crate::domain::tiers::TierPolicy;
use crate::store::members::{Standing, StoredTier};

/// A member's tier as cached. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierStanding {
    /// Name of the tier.
    pub tier: String,
    /// Name of the tier earned.
    pub earned: String,
    /// What counts.
    pub points: i64,
    /// The version of the policy that decided it.
    pub policy: i64,
    /// Since when; absent for another instant than now.
    pub since: Option<i64>,
    /// Until when the points are these and the tier is this one.
    pub valid_until: Option<i64>,
    /// Set while the tier is one given by hand.
    pub given: Option<Given>,
}

/// How a tier was given by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// From when on.
    pub from: i64,
    /// Until when; absent: until it is cleared.
    pub until: Option<i64>,
}

impl From<TierOverride> for Given {
    fn from(given: TierOverride) -> Self {
        Self {
            actor: given.actor,
            reason: given.reason,
            from: given.created_at.micros(),
            until: given.ends_at.map(Timestamp::micros),
        }
    }
}

impl TierStanding {
    /// As it was decided and written under a policy.
    pub fn of(standing: &Standing, policy: &TierPolicy) -> Self {
        let winning = standing.tier_override.clone().found();
        Self {
            tier: standing.tier.clone(),
            earned: earned(
                standing.earned_tier.as_deref(),
                standing.tier_points,
                policy,
            ),
            points: standing.tier_points,
            policy: standing.tier_policy,
            since: Some(standing.tier_since.micros()),
            valid_until: standing.tier_valid_until.map(Timestamp::micros),
            given: winning.and_then(|(_, given)| wins(given, policy)),
        }
    }

    /// As it was stored under a policy.
    pub fn stored(stored: StoredTier, policy: &TierPolicy) -> Versioned<Self> {
        let winning = stored.tier_override.found();
        Versioned {
            version: stored.revision,
            value: Self {
                earned: earned(stored.earned_tier.as_deref(), stored.tier_points, policy),
                tier: stored.tier,
                points: stored.tier_points,
                policy: stored.tier_policy,
                since: Some(stored.tier_since.micros()),
                valid_until: stored.tier_valid_until.map(Timestamp::micros),
                given: winning.and_then(|(_, given)| wins(given, policy)),
            },
        }
    }
}

/// A tier stored without the one earned was decided by the points alone.
fn earned(stored: Option<&str>, points: i64, policy: &TierPolicy) -> String {
    let by_points = || &policy.tier_for(points).name;
    stored.map_or_else(|| by_points().clone(), str::to_owned)
}

fn wins(given: TierOverride, policy: &TierPolicy) -> Option<Given> {
    given::known(policy, Some(&given))
        .is_some()
        .then(|| given.into())
}
