//! Tier policies: their versions, which of them holds, and how another one is published.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use api::loyalty::v1 as pb;
use common::time::Timestamp;
use pb::{TierDowngrade as Downgrade, TierMetric as Metric, TierPeriod as Period};
use tonic::Code;

use super::member::Member;
use super::{Customer, Micros, Step, program};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::CALLER;
use crate::service::{CLUB, club_policy};

/// The versions of a policy, the first one first, as far as they are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions {
    all: Rc<Vec<pb::TierPolicy>>,
    known: usize,
}

/// The versions of each program's policy.
#[derive(Debug, Clone, PartialEq)]
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
            (program_id.to_owned(), Versions::from(vec![first]))
        };
        Self(programs.into_iter().map(first).collect())
    }
}

impl Policies {
    /// Those of which the first version of the club's says from when on it holds: no other one may hold before.
    pub fn with_club_since(since: Option<prost_types::Timestamp>) -> Self {
        let mut policies = Self::default();
        let mut club = policies.of(CLUB).to_vec();
        club[0].effective_at = since;
        policies.set(CLUB, club);
        policies
    }

    pub fn of(&self, program_id: &str) -> Versions {
        self.0[program_id].clone()
    }

    /// The number of the latest version of each program's.
    pub fn latest(&self) -> BTreeMap<String, i64> {
        let programs = self.0.iter();
        let latest = programs.map(|(program_id, versions)| (program_id.clone(), versions.latest()));
        latest.collect()
    }

    /// As they were while these were the latest versions.
    pub fn up_to(&self, latest: &BTreeMap<String, i64>) -> Self {
        let mut policies = self.clone();
        for (program_id, latest) in latest {
            if let Some(versions) = policies.0.get_mut(program_id) {
                versions.known = usize::try_from(*latest).expect("numbers begin with one");
                assert!(versions.known <= versions.all.len(), "none is known yet");
            }
        }
        policies
    }

    fn set(&mut self, program_id: &str, versions: Vec<pb::TierPolicy>) {
        self.0.insert(program_id.to_owned(), versions.into());
    }
}

impl Versions {
    /// The number of the latest one.
    fn latest(&self) -> i64 {
        i64::try_from(self.known).expect("few")
    }
}

impl From<Vec<pb::TierPolicy>> for Versions {
    fn from(all: Vec<pb::TierPolicy>) -> Self {
        let known = all.len();
        Self {
            all: Rc::new(all),
            known,
        }
    }
}

impl Deref for Versions {
    type Target = [pb::TierPolicy];

    fn deref(&self) -> &[pb::TierPolicy] {
        &self.all[..self.known]
    }
}

/// What the versions of a program's policy are a history of.
pub fn policies_of(program_id: &str) -> String {
    format!("policy/{}", program(program_id))
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
    /// All know of it.
    pub fn publish(
        &mut self,
        asked: &pb::PublishTierPolicyRequest,
    ) -> Result<pb::PublishTierPolicyResponse, Refusal> {
        let now = self.now;
        let program_id = self.known(&asked.program_id)?.to_owned();
        let mut versions = self.world.policies.of(&program_id).to_vec();
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
        versions.push(policy.clone());
        self.world.policies.set(&program_id, versions);
        for customer in self.world.customers.values_mut() {
            customer.know(&self.world.policies);
        }
        Ok(pb::PublishTierPolicyResponse {
            policy: Some(policy),
            consistency_token: String::new(),
        })
    }
}

impl Customer {
    /// So much is known where tiers are decided.
    pub fn know(&mut self, policies: &Policies) {
        self.policies = policies.clone();
        self.follow_policies();
    }

    /// What is known of policies is known of all memberships.
    pub(super) fn follow_policies(&mut self) {
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
