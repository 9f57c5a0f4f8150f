//! Tiers as the caller sees them.

use api::loyalty::v1 as pb;
use common::cache::Versioned;
use common::ids::CustomerId;
use common::time::Timestamp;

use super::small;
use crate::domain::program::Program;
use crate::domain::tiers::Metric;
use crate::store::tiers::TierChangeRow;
use crate::tiers::{Given, TierStanding};

pub fn metric(metric: Metric) -> pb::TierMetric {
    match metric {
        Metric::PointsEarned => pb::TierMetric::PointsEarned,
        Metric::Spend => pb::TierMetric::Spend,
        Metric::Frequency => pb::TierMetric::Frequency,
    }
}

pub fn tier(
    program: &Program,
    customer_id: &CustomerId,
    standing: Versioned<TierStanding>,
) -> pb::MemberTier {
    let Versioned { version, value } = standing;
    let policies = &program.policies;
    let decided_by = policies.get(value.policy).unwrap_or(policies.latest());
    let policy = &decided_by.policy;
    let own = policy.find(&value.tier);
    let next = policy.next_above(&value.earned);
    let instant = |micros: i64| Timestamp::from_micros(micros).into();
    pb::MemberTier {
        program_id: program.program_id.to_string(),
        customer_id: customer_id.to_string(),
        rank: own.map_or(0, |tier| small(tier.rank)),
        multiplier_basis_points: own.map_or(0, |tier| small(tier.multiplier)),
        benefits: own.map(|tier| tier.benefits.clone()).unwrap_or_default(),
        tier: value.tier,
        qualifying_points: value.points,
        since: value.since.map(instant),
        valid_until: value.valid_until.map(instant),
        next_tier: next.map(|next| next.name.clone()).unwrap_or_default(),
        points_to_next_tier: next.map_or(0, |next| next.threshold.saturating_sub(value.points)),
        revision: version,
        tier_override: value.given.map(tier_override),
        earned_tier: value.earned,
        policy_version: value.policy,
        metric: metric(policy.rules().metric).into(),
    }
}

pub fn tier_override(given: Given) -> pb::TierOverride {
    let instant = |micros: i64| Timestamp::from_micros(micros).into();
    pb::TierOverride {
        actor: given.actor,
        reason: given.reason,
        created_at: Some(instant(given.from)),
        expires_at: given.until.map(instant),
    }
}

pub fn tier_change(change: &TierChangeRow) -> pb::TierChange {
    let reason = match change.reason.as_str() {
        "enrolled" => pb::TierChangeReason::Enrolled,
        "earned" => pb::TierChangeReason::Earned,
        "reversed" => pb::TierChangeReason::Reversed,
        "aged_out" => pb::TierChangeReason::AgedOut,
        "overridden" => pb::TierChangeReason::Overridden,
        "override_ended" => pb::TierChangeReason::OverrideEnded,
        "policy_changed" => pb::TierChangeReason::PolicyChanged,
        _ => pb::TierChangeReason::Unspecified,
    };
    pb::TierChange {
        program_id: change.program_id.clone(),
        customer_id: change.customer_id.to_string(),
        from_tier: change.from_tier.clone(),
        to_tier: change.to_tier.clone(),
        reason: reason.into(),
        qualifying_points: change.points,
        changed_at: Some(change.changed_at.into()),
        revision: change.revision,
        actor: change.actor.clone(),
        remark: change.remark.clone(),
        policy_version: change.policy_version,
    }
}
