//! Compares what is stored of tiers with what the policy makes of what counts.

use chrono::TimeDelta;
use common::db::Snapshot;
use common::ids::CustomerId;
use common::time::Timestamp;

use super::divergence::{Kind, Stop, Where, diverged};
use crate::State;
use crate::domain::program::ProgramId;
use crate::store::histories::TierRow;
use crate::tiers::reads;

/// Decides a tier anew from what counts, all of which was compared before. A stored tier stands for an instant before
/// `tier_valid_until`, and before another version of the policy took over: one that either has overtaken is not
/// wrong, readers notice.
pub(super) async fn compare(
    state: &State,
    db: &mut Snapshot,
    row: &TierRow,
    posted_at: Option<Timestamp>,
) -> Result<(), Stop> {
    let program_id = ProgramId::parse(&row.program_id).map_err(common::Error::Internal)?;
    let customer_id = CustomerId::parse(&row.customer_id).map_err(common::Error::Internal)?;
    let program = state
        .programs
        .holding(db, &row.program_id, row.tier_policy)
        .await?;
    let later = program.policies.all().iter();
    let later = later.filter(|version| version.version > row.tier_policy);
    let replaced_at = later.map(|version| version.effective_at).min();
    // What a replica whose clock is ahead has written counts.
    let written = posted_at.into_iter().chain(row.changed_at).max();
    let mut as_of = state
        .platform
        .now()
        .max(written.unwrap_or(Timestamp::EPOCH));
    let overtaken = row.tier_valid_until.into_iter().chain(replaced_at).min();
    if let Some(overtaken) = overtaken.filter(|overtaken| *overtaken <= as_of) {
        as_of = overtaken - TimeDelta::microseconds(1);
    }
    if written.is_some_and(|written| written > as_of) {
        // Replaced at the very instant at which it was decided.
        return Ok(());
    }
    let Some(held) = reads::held_at(state, db, &program_id, &customer_id, as_of).await? else {
        return Ok(());
    };
    let earliest = |until: Option<Timestamp>| until.into_iter().chain(replaced_at).min();
    let (amount, version) = (held.basis.earned.amount, held.basis.version.version);
    let description = if row.tier_policy != version {
        let stored = row.tier_policy;
        format!("it is stored as decided by version {stored} of the policy, {version} holds")
    } else if row.tier_points != amount {
        format!("{} qualifying is stored, {amount} counts", row.tier_points)
    } else if row.tier != held.tier {
        format!("{} is stored, the policy says {}", row.tier, held.tier)
    } else if row
        .earned_tier
        .as_ref()
        .is_some_and(|earned| earned != held.basis.earned_tier())
    {
        format!(
            "{:?} is stored as earned, the policy says {}",
            row.earned_tier,
            held.basis.earned_tier()
        )
    } else if earliest(row.tier_valid_until) != earliest(held.valid_until) {
        "it is stored to stand until another instant than the policy says".to_owned()
    } else if row.changed_to.as_ref() != Some(&row.tier) {
        format!(
            "{} is stored, the last change was to {:?}",
            row.tier, row.changed_to
        )
    } else if row.changed_at != Some(row.tier_since) {
        "it is stored to be since another instant than its last change".to_owned()
    } else {
        return Ok(());
    };
    let at = Where {
        customer_id: row.customer_id.clone(),
        program_id: row.program_id.clone(),
        ..Where::default()
    };
    Err(diverged(Kind::Tier, at, description))
}
