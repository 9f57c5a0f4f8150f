//! Tier policies: proto in, use case, proto out.

use std::collections::HashSet;

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::mutation::{Begun, Call};
use common::page::PageRequest;
use common::validate::Violations;
use tonic::Response;

use super::dry_run::conclude;
use super::parse::{self, DAYS_MAX, RawPage};
use super::present::{self, small};
use super::{Answer, raw_of};
use crate::State;
use crate::domain::tiers::period::{Midnight, OFFSET_MINUTES_MAX};
use crate::domain::tiers::versions::PolicyVersion;
use crate::domain::tiers::{
    Downgrade, GRACE_DAYS_MAX, MULTIPLIER_MAX, Metric, ONE_IN_BASIS_POINTS, Period, Rules, Tier,
    TierPolicy, WINDOW_DAYS_DEFAULT,
};
use crate::tiers::policies::{self, Publish, Which};
use crate::writer::Run;

const TIERS_MAX: usize = 100;
const BENEFITS_MAX: usize = 50;

pub async fn publish(
    state: &State,
    request: pb::PublishTierPolicyRequest,
) -> Answer<pb::PublishTierPolicyResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/PublishTierPolicy";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let parsed = Publish::try_from(request)?;
    let program_id = parsed.program_id.clone();
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let published = policies::publish(state, mutation.tx(), parsed).await;
    let respond = |published: std::sync::Arc<PolicyVersion>| pb::PublishTierPolicyResponse {
        policy: Some(present(&published)),
        consistency_token: match run {
            Run::Real => policies::token(state, &program_id, published.version),
            Run::Dry => String::new(),
        },
    };
    conclude(mutation, published.map(respond), run).await
}

pub async fn get(
    state: &State,
    request: pb::GetTierPolicyRequest,
) -> Answer<pb::GetTierPolicyResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
    if request.version < 0 {
        v.add("version", "must be 0 (the one that holds) or more");
    }
    if request.version != 0 && request.as_of.is_some() {
        v.add("as_of", "must not be given together with a version");
    }
    let (program_id,) = v.all((program_id,))?;
    let which = match request.version {
        0 => Which::InForce(as_of),
        version => Which::Numbered(version),
    };
    let found = policies::get(state, &program_id, which).await?;
    let policy = Some(present(&found));
    Ok(Response::new(pb::GetTierPolicyResponse { policy }))
}

pub async fn list(
    state: &State,
    request: pb::ListTierPoliciesRequest,
) -> Answer<pb::ListTierPoliciesResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let page = RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: "ListTierPolicies",
    };
    let page: Option<PageRequest> =
        parse::page_of(&mut v, &raw_of(&request.program_id, "", ""), &page);
    let (program_id, page) = v.all((program_id, page))?;
    let (versions, next_page_token) = policies::list(state, &program_id, &page).await?;
    Ok(Response::new(pb::ListTierPoliciesResponse {
        policies: versions.iter().map(|version| present(version)).collect(),
        next_page_token,
    }))
}

pub fn present(version: &PolicyVersion) -> pb::TierPolicy {
    let rules = version.policy.rules();
    let (period, window_days, midnight) = match rules.period {
        Period::Rolling { days } => (pb::TierPeriod::Rolling, small(days), 0),
        Period::CalendarYear(midnight) => {
            (pb::TierPeriod::CalendarYear, 0, midnight.utc_offset_minutes)
        }
        Period::MembershipYear(midnight) => (
            pb::TierPeriod::MembershipYear,
            0,
            midnight.utc_offset_minutes,
        ),
    };
    let downgrade = match rules.downgrade {
        Downgrade::Immediate => pb::TierDowngrade::Immediate,
        Downgrade::ToEarned => pb::TierDowngrade::ToEarned,
        Downgrade::OneDown => pb::TierDowngrade::OneDown,
    };
    let tier = |tier: &Tier| pb::Tier {
        name: tier.name.clone(),
        rank: small(tier.rank),
        threshold: tier.threshold,
        multiplier_basis_points: small(tier.multiplier),
        benefits: tier.benefits.clone(),
    };
    pb::TierPolicy {
        window_days,
        tiers: version.policy.tiers().iter().map(tier).collect(),
        metric: present::metric(rules.metric).into(),
        period: period.into(),
        downgrade: downgrade.into(),
        grace_days: small(rules.grace_days),
        utc_offset_minutes: small(midnight),
        version: version.version,
        effective_at: Some(version.effective_at.into()),
        published_at: Some(version.published_at.into()),
        actor: version.actor.clone(),
        reason: version.reason.clone(),
    }
}

impl TryFrom<pb::PublishTierPolicyRequest> for Publish {
    type Error = Error;

    fn try_from(request: pb::PublishTierPolicyRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let program_id = parse::program_id(&mut v, &request.program_id);
        if request.policy.is_none() {
            v.add("policy", "must be given");
        }
        let policy = request.policy;
        let policy = policy.and_then(|raw| tier_policy(&mut v, "policy", raw));
        let effective_at = parse::instant(&mut v, "effective_at", request.effective_at.as_ref());
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        if request.expected_latest_version < 0 {
            v.add("expected_latest_version", "must be 0 (any) or more");
        }
        let (program_id, policy, reason) = v.all((program_id, policy, reason))?;
        Ok(Self {
            program_id,
            policy,
            effective_at,
            actor: identity::current().subject.to_string(),
            reason,
            expected: request.expected_latest_version,
        })
    }
}

/// A tier policy to create or publish.
pub fn tier_policy(v: &mut Violations, field: &str, raw: pb::TierPolicy) -> Option<TierPolicy> {
    let rules = rules(v, field, &raw);
    if raw.tiers.len() > TIERS_MAX {
        v.add(
            format!("{field}.tiers"),
            format!("must be at most {TIERS_MAX}"),
        );
        return None;
    }
    let mut names = HashSet::new();
    let mut tiers = Vec::with_capacity(raw.tiers.len());
    for (n, raw) in raw.tiers.into_iter().enumerate() {
        let field = format!("{field}.tiers[{n}]");
        let name = format!("{field}.name");
        let is_named = parse::text(v, &name, raw.name.clone(), 1..=64).is_some();
        if is_named && !names.insert(raw.name.clone()) {
            v.add(name, "must be unique in the program");
        }
        tiers.push(tier(v, &field, raw));
    }
    let tiers_of = |rules| TierPolicy::new(rules, tiers);
    // The tiers are checked whether or not the rules make sense.
    let checked = tiers_of(rules.unwrap_or(Rules::rolling(WINDOW_DAYS_DEFAULT)));
    let policy = v.check(format!("{field}.tiers"), checked);
    rules.and(policy)
}

fn tier(v: &mut Violations, field: &str, raw: pb::Tier) -> Tier {
    let multiplier = match i64::from(raw.multiplier_basis_points) {
        0 => ONE_IN_BASIS_POINTS,
        given => given,
    };
    if !(1..=MULTIPLIER_MAX).contains(&multiplier) {
        v.add(
            format!("{field}.multiplier_basis_points"),
            format!("must be 0 (which means {ONE_IN_BASIS_POINTS}) to {MULTIPLIER_MAX}"),
        );
    }
    let benefits = format!("{field}.benefits");
    if raw.benefits.len() > BENEFITS_MAX {
        v.add(&benefits, format!("must be at most {BENEFITS_MAX}"));
    }
    let mut codes = HashSet::new();
    for (n, code) in raw.benefits.iter().take(BENEFITS_MAX).enumerate() {
        let field = format!("{benefits}[{n}]");
        if parse::text(v, &field, code.clone(), 1..=200).is_some() && !codes.insert(code) {
            v.add(field, "must be unique in the tier");
        }
    }
    Tier {
        name: raw.name,
        rank: raw.rank.into(),
        threshold: raw.threshold,
        multiplier,
        benefits: raw.benefits,
    }
}

fn rules(v: &mut Violations, field: &str, raw: &pb::TierPolicy) -> Option<Rules> {
    let metric = match pb::TierMetric::try_from(raw.metric) {
        Ok(pb::TierMetric::Unspecified | pb::TierMetric::PointsEarned) => {
            Some(Metric::PointsEarned)
        }
        Ok(pb::TierMetric::Spend) => Some(Metric::Spend),
        Ok(pb::TierMetric::Frequency) => Some(Metric::Frequency),
        Err(_) => {
            v.add(format!("{field}.metric"), "must be one of the enum");
            None
        }
    };
    let period = period(v, field, raw);
    let is_rolling = matches!(period, Some(Period::Rolling { .. }));
    let downgrade = match pb::TierDowngrade::try_from(raw.downgrade) {
        Ok(pb::TierDowngrade::Unspecified) if is_rolling => Some(Downgrade::Immediate),
        Ok(pb::TierDowngrade::Unspecified | pb::TierDowngrade::ToEarned) => {
            Some(Downgrade::ToEarned)
        }
        Ok(pb::TierDowngrade::OneDown) => Some(Downgrade::OneDown),
        Ok(pb::TierDowngrade::Immediate) => Some(Downgrade::Immediate),
        Err(_) => {
            v.add(format!("{field}.downgrade"), "must be one of the enum");
            None
        }
    };
    if downgrade == Some(Downgrade::Immediate) && period.is_some() && !is_rolling {
        let rule = "must not be IMMEDIATE unless the period is ROLLING";
        v.add(format!("{field}.downgrade"), rule);
        return None;
    }
    let grace_days = i64::from(raw.grace_days);
    if !(0..=GRACE_DAYS_MAX).contains(&grace_days) {
        let rule = format!("must be 0 to {GRACE_DAYS_MAX}");
        v.add(format!("{field}.grace_days"), rule);
        return None;
    }
    if downgrade == Some(Downgrade::Immediate) && grace_days > 0 {
        let rule = "must be 0 where the downgrade is IMMEDIATE";
        v.add(format!("{field}.grace_days"), rule);
        return None;
    }
    Some(Rules {
        metric: metric?,
        period: period?,
        downgrade: downgrade?,
        grace_days,
    })
}

fn period(v: &mut Violations, field: &str, raw: &pb::TierPolicy) -> Option<Period> {
    let offset = i64::from(raw.utc_offset_minutes);
    let midnight = Midnight {
        utc_offset_minutes: offset,
    };
    let period = match pb::TierPeriod::try_from(raw.period) {
        Ok(pb::TierPeriod::Unspecified | pb::TierPeriod::Rolling) => {
            let days = match raw.window_days {
                0 => WINDOW_DAYS_DEFAULT,
                days => days.into(),
            };
            Period::Rolling { days }
        }
        Ok(pb::TierPeriod::CalendarYear) => Period::CalendarYear(midnight),
        Ok(pb::TierPeriod::MembershipYear) => Period::MembershipYear(midnight),
        Err(_) => {
            v.add(format!("{field}.period"), "must be one of the enum");
            return None;
        }
    };
    let is_rolling = matches!(period, Period::Rolling { .. });
    if is_rolling && !(0..=DAYS_MAX).contains(&raw.window_days) {
        let rule = format!("must be 0 (which means {WINDOW_DAYS_DEFAULT}) to {DAYS_MAX}");
        v.add(format!("{field}.window_days"), rule);
    }
    if !is_rolling && raw.window_days != 0 {
        let rule = "must be 0 unless the period is ROLLING";
        v.add(format!("{field}.window_days"), rule);
    }
    if is_rolling && offset != 0 {
        let rule = "must be 0 where the period is ROLLING";
        v.add(format!("{field}.utc_offset_minutes"), rule);
    }
    if !(-OFFSET_MINUTES_MAX..=OFFSET_MINUTES_MAX).contains(&offset) {
        let rule = format!("must be -{OFFSET_MINUTES_MAX} to {OFFSET_MINUTES_MAX}");
        v.add(format!("{field}.utc_offset_minutes"), rule);
    }
    Some(period)
}
