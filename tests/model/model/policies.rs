//! Tier policies: their versions, which of them holds, and how another one is published.

use std::collections::BTreeMap;
use std::rc::Rc;

use api::loyalty::v1 as pb;
use common::time::Timestamp;
use pb::{TierDowngrade as Downgrade, TierMetric as Metric, TierPeriod as Period};
use tonic::Code;

use super::member::Member;
use super::{Customer, Micros, Step};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::{CALLER, Publish};
use crate::service::{CLUB, club_policy};

/// The versions of a policy, the first one first.
pub type Versions = Rc<Vec<pb::TierPolicy>>;

/// The versions of each program's policy.
#[derive(Debug, Clone)]
pub struct Policies(BTreeMap<String, Versions>);

/// The tiers of the program that there is from the start, with what each is earned by.
const DEFAULT_TIERS: [(&str, i64); 3] = [("Bronze", 0), ("Silver", 100), ("Gold", 250)];

/// Those that the programs are made with.
impl Default for Policies {
    fn default() -> Self {
        let tier = |(rank, (name, threshold)): (i32, (&str, i64))| pb::Tier {
            name: name.to_owned(),
            rank,
            threshold,
            ..Default::default()
        };
        let default = pb::TierPolicy {
            tiers: (1..).zip(DEFAULT_TIERS).map(tier).collect(),
            ..Default::default()
        };
        let programs = [("default", default), (CLUB, club_policy())];
        let first = |(program_id, policy): (&str, pb::TierPolicy)| {
            let first = pb::TierPolicy {
                version: 1,
                ..stored(&policy)
            };
            (program_id.to_owned(), Rc::new(vec![first]))
        };
        Self(programs.into_iter().map(first).collect())
    }
}

impl Policies {
    /// Those of which the first version of the club's says from when on it holds: no other one may hold before.
    pub fn with_club_since(since: Option<prost_types::Timestamp>) -> Self {
        let mut policies = Self::default();
        let club = policies.0.get_mut(CLUB).expect("it is there");
        Rc::make_mut(club)[0].effective_at = since;
        policies
    }

    pub fn of(&self, program_id: &str) -> Versions {
        self.0[program_id].clone()
    }
}

/// The version that holds at an instant: the first one has held from ever, whatever it says.
pub fn in_force(versions: &Versions, at: Micros) -> &pb::TierPolicy {
    let holds = |version: &&pb::TierPolicy| {
        let from = version.effective_at.as_ref();
        from.is_none_or(|from| micros(from) <= at)
    };
    let held = versions.iter().rfind(holds).or(versions.first());
    held.expect("there is always one")
}

impl Step<'_> {
    pub fn publish(&mut self, publish: &Publish) -> Result<pb::PublishTierPolicyResponse, Refusal> {
        let now = self.now;
        let asked = &publish.asked;
        let program_id = self.known(&asked.program_id)?.to_owned();
        // All of them know the same.
        let customer = &self.world.customers[&publish.customers[0]];
        let mut versions = customer.policies.of(&program_id);
        let latest = versions.last().expect("there is always one");
        let expected = asked.expected_latest_version;
        if expected != 0 && expected != latest.version {
            let refusal = Refusal::new(Code::Aborted, "TIER_POLICY_CHANGED");
            return Err(refusal.with("latest_version", latest.version));
        }
        let from = asked.effective_at.as_ref().map_or(now, micros);
        if from < now {
            return Err(Refusal::invalid("effective_at"));
        }
        let before = latest.effective_at.as_ref().map(micros);
        if let Some(before) = before.filter(|before| from < *before) {
            let refusal = Refusal::new(Code::FailedPrecondition, "TIER_POLICY_NOT_LATER");
            return Err(refusal.with("effective_at", Timestamp::from_micros(before)));
        }
        let policy = pb::TierPolicy {
            version: latest.version + 1,
            effective_at: Some(stamp(from)),
            published_at: Some(stamp(now)),
            actor: CALLER.to_owned(),
            reason: asked.reason.clone(),
            ..stored(asked.policy.as_ref().expect("always given"))
        };
        Rc::make_mut(&mut versions).push(policy.clone());
        for customer in self.world.customers.values_mut() {
            let policies = &mut customer.policies.0;
            policies.insert(program_id.clone(), versions.clone());
            customer.follow_policies();
        }
        Ok(pb::PublishTierPolicyResponse {
            policy: Some(policy),
            consistency_token: String::new(),
        })
    }
}

impl Customer {
    /// What is known of policies is known of all memberships.
    pub fn follow_policies(&mut self) {
        for (program_id, accounts) in &mut self.members {
            for account in accounts {
                account.policies = self.policies.of(program_id);
            }
        }
    }
}

impl Member {
    /// The policy that holds at an instant.
    pub fn policy(&self, at: Micros) -> &pb::TierPolicy {
        in_force(&self.policies, at)
    }
}

/// A policy with what stands for whatever it does not say.
fn stored(policy: &pb::TierPolicy) -> pb::TierPolicy {
    let mut policy = policy.clone();
    if policy.metric() == Metric::Unspecified {
        policy.set_metric(Metric::PointsEarned);
    }
    if policy.period() == Period::Unspecified {
        policy.set_period(Period::Rolling);
    }
    let is_rolling = policy.period() == Period::Rolling;
    if policy.downgrade() == Downgrade::Unspecified {
        policy.set_downgrade(if is_rolling {
            Downgrade::Immediate
        } else {
            Downgrade::ToEarned
        });
    }
    if is_rolling && policy.window_days == 0 {
        policy.window_days = 365;
    }
    for tier in &mut policy.tiers {
        if tier.multiplier_basis_points == 0 {
            tier.multiplier_basis_points = 10_000;
        }
    }
    policy
}
