//! Tiers given by hand: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::mutation::{Begun, Call};
use common::validate::Violations;

use super::dry_run::conclude;
use super::{Answer, parse, present};
use crate::State;
use crate::tiers::overrides::{self, Changed, ClearOverride, OverrideTier};
use crate::writer::Run;

pub async fn override_tier(
    state: &State,
    request: pb::OverrideTierRequest,
) -> Answer<pb::OverrideTierResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/OverrideTier";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let parsed = OverrideTier::try_from(request)?;
    state.platform.at_least(&parsed.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let changed = overrides::override_tier(state, mutation.tx(), parsed).await;
    let respond = |changed| {
        let (tier, change, consistency_token) = told(state, changed, run);
        pb::OverrideTierResponse {
            tier,
            change,
            consistency_token,
        }
    };
    conclude(mutation, changed.map(respond), run).await
}

pub async fn clear(
    state: &State,
    request: pb::ClearOverrideRequest,
) -> Answer<pb::ClearOverrideResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/ClearOverride";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let parsed = ClearOverride::try_from(request)?;
    state.platform.at_least(&parsed.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let changed = overrides::clear(state, mutation.tx(), parsed).await;
    let respond = |changed| {
        let (tier, change, consistency_token) = told(state, changed, run);
        pb::ClearOverrideResponse {
            tier,
            change,
            consistency_token,
        }
    };
    conclude(mutation, changed.map(respond), run).await
}

/// What is told of a change; of one that will not have been, no revision and no token.
fn told(
    state: &State,
    changed: Changed,
    run: Run,
) -> (Option<pb::MemberTier>, Option<pb::TierChange>, String) {
    let Changed {
        program,
        change,
        standing,
    } = changed;
    let revision = standing.version;
    let mut tier = present::tier(&program, &change.customer_id, standing);
    let mut told = present::tier_change(&change);
    if run == Run::Dry {
        tier.revision = 0;
        told.revision = 0;
        return (Some(tier), Some(told), String::new());
    }
    let token = state.platform.token(&change.customer_id, revision);
    (Some(tier), Some(told), token)
}

impl TryFrom<pb::OverrideTierRequest> for OverrideTier {
    type Error = Error;

    fn try_from(request: pb::OverrideTierRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let tier = parse::text(&mut v, "tier", request.tier, 1..=64);
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        let expires_at = parse::instant(&mut v, "expires_at", request.expires_at.as_ref());
        let (account, tier, reason) = v.all((account, tier, reason))?;
        Ok(Self {
            account,
            tier,
            actor: identity::current().subject.to_string(),
            reason,
            expires_at,
        })
    }
}

impl TryFrom<pb::ClearOverrideRequest> for ClearOverride {
    type Error = Error;

    fn try_from(request: pb::ClearOverrideRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        let (account, reason) = v.all((account, reason))?;
        Ok(Self {
            account,
            actor: identity::current().subject.to_string(),
            reason,
        })
    }
}
