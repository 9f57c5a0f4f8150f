//! Progress towards tiers: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::ids::CustomerId;
use tonic::Response;

use super::{Answer, present};
use crate::State;
use crate::domain::progress::Move;
use crate::domain::tiers::Tier;
use crate::tiers::Given;
use crate::tiers::progress::{self, Progress};
use crate::tiers::reads::Wanted;

pub async fn get(
    state: &State,
    request: pb::GetTierProgressRequest,
) -> Answer<pb::GetTierProgressResponse> {
    let wanted = Wanted::try_from(request)?;
    state.platform.at_least(&wanted.at_least).await?;
    let progress = progress::get(state, &wanted).await?;
    let progress = Some(present(progress, &wanted.customer_id));
    Ok(Response::new(pb::GetTierProgressResponse { progress }))
}

fn present(progress: Progress, customer_id: &CustomerId) -> pb::TierProgress {
    let Progress {
        basis,
        as_of,
        winning,
        moves,
    } = progress;
    let policy = basis.policy();
    let amount = basis.earned.amount;
    let earned = &policy.tiers()[basis.earned.step];
    let tier = winning.as_ref().map_or(&earned.name, |given| &given.tier);
    let goal = |tier: &Tier| pb::TierGoal {
        tier: tier.name.clone(),
        rank: present::small(tier.rank),
        threshold: tier.threshold,
        points_missing: tier.threshold.saturating_sub(amount),
    };
    let above = policy.tiers().iter().filter(|tier| tier.rank > earned.rank);
    let forecast = |to_come: Move| pb::TierForecast {
        at: Some(to_come.at.into()),
        from_tier: to_come.from_tier,
        to_tier: to_come.to_tier,
        qualifying_points: to_come.amount,
        points_to_stay: to_come.missing,
    };
    let next_fall = moves.iter().find(|to_come| to_come.falls).cloned();
    pb::TierProgress {
        program_id: basis.program.program_id.to_string(),
        customer_id: customer_id.to_string(),
        as_of: Some(as_of.into()),
        tier: tier.clone(),
        rank: present::small(policy.rank_of(tier).unwrap_or_default()),
        earned_tier: earned.name.clone(),
        qualifying_points: amount,
        goals: above.map(goal).collect(),
        next_fall: next_fall.map(forecast),
        forecasts: moves.into_iter().map(forecast).collect(),
        policy_version: basis.version.version,
        metric: present::metric(policy.rules().metric).into(),
        tier_override: winning.map(|given| present::tier_override(Given::from(given))),
    }
}

impl TryFrom<pb::GetTierProgressRequest> for Wanted {
    type Error = Error;

    fn try_from(request: pb::GetTierProgressRequest) -> Result<Self, Error> {
        pb::GetTierRequest {
            program_id: request.program_id,
            customer_id: request.customer_id,
            as_of: request.as_of,
            at_least: request.at_least,
        }
        .try_into()
    }
}
