//! How far a member is from the tiers above, and how its tier will move by the passing of time alone.

use std::collections::BTreeSet;

use api::loyalty::v1 as pb;

use super::member::Member;
use super::periods::{Record, turns, year_begun};
use super::tiers::Given;
use super::{Micros, Step, of};
use crate::answers::{Refusal, micros, stamp};

/// So many moves are told at most.
const MOVES_MAX: usize = 100;

impl Step<'_> {
    pub fn progress(
        &mut self,
        request: &pb::GetTierProgressRequest,
    ) -> Result<pb::GetTierProgressResponse, Refusal> {
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        Ok(pb::GetTierProgressResponse {
            progress: Some(member.progress(at)),
        })
    }
}

impl Member {
    fn progress(&self, at: Micros) -> pb::TierProgress {
        let given = self.given.iter().rev().find(|given| given.wins_at(at));
        let tier = self.tier(at);
        let tiers = &self.policy(at).tiers;
        let earned = tiers.iter().position(|it| it.name == tier.earned_tier);
        let goal = |goal: &pb::Tier| pb::TierGoal {
            tier: goal.name.clone(),
            rank: goal.rank,
            threshold: goal.threshold,
            points_missing: goal.threshold - tier.qualifying_points,
        };
        let above = tiers.iter().skip(earned.expect("it is one of them") + 1);
        let moves = self.moves_to_come(given, at);
        let fall = moves.iter().find(|(_, falls)| *falls);
        pb::TierProgress {
            program_id: tier.program_id,
            customer_id: tier.customer_id,
            as_of: Some(stamp(at)),
            tier: tier.tier,
            rank: tier.rank,
            earned_tier: tier.earned_tier,
            qualifying_points: tier.qualifying_points,
            goals: above.map(goal).collect(),
            next_fall: fall.map(|(fall, _)| fall.clone()),
            forecasts: moves.into_iter().map(|(it, _)| it).collect(),
            tier_override: tier.tier_override,
            policy_version: tier.policy_version,
            metric: tier.metric,
        }
    }

    /// If nothing more is done; of each whether it leads to a lower tier.
    fn moves_to_come(&self, given: Option<&Given>, from: Micros) -> Vec<(pb::TierForecast, bool)> {
        let tier = |at: Micros| {
            let given = given.filter(|it| it.ends_at().is_none_or(|ends_at| at < ends_at));
            self.tier_given((self.policy(at), at), given)
        };
        let mut moves = Vec::new();
        let mut before = tier(from).tier;
        for at in self.turns_to_come(given, from) {
            let after = tier(at);
            if after.tier == before {
                continue;
            }
            let policy = self.policy(at);
            let left = policy.tiers.iter().find(|it| it.name == before);
            let left = left.filter(|left| after.rank < left.rank);
            // What has ended by then can be added to only before; if it has ended already, only to what has begun since.
            let begun = year_begun(policy, self.enrolled_at, at).filter(|begun| from < *begun);
            let counts = match begun {
                Some(begun) => self.tier_given((policy, begun - 1), None).qualifying_points,
                None => after.qualifying_points,
            };
            let forecast = pb::TierForecast {
                at: Some(stamp(at)),
                from_tier: std::mem::replace(&mut before, after.tier.clone()),
                to_tier: after.tier,
                qualifying_points: after.qualifying_points,
                points_to_stay: left.map_or(0, |left| (left.threshold - counts).max(0)),
            };
            moves.push((forecast, left.is_some()));
        }
        moves.truncate(MOVES_MAX);
        moves
    }

    /// Every instant at which the tier may be another than before, by any version that holds then.
    fn turns_to_come(&self, given: Option<&Given>, from: Micros) -> BTreeSet<Micros> {
        let mut all = BTreeSet::new();
        for policy in self.policies.iter() {
            let counted = self.counted_by(policy.metric());
            let record = Record {
                enrolled_at: self.enrolled_at,
                counted: &counted,
            };
            all.extend(turns(policy, &record, from));
            all.extend(policy.effective_at.as_ref().map(micros));
        }
        all.extend(given.and_then(Given::ends_at));
        all.retain(|at| from < *at);
        all
    }
}
