//! Tiers: what is earned, what is given by hand, and which of them wins at an instant.

use api::loyalty::v1 as pb;
use tonic::Code;

use super::member::Member;
use super::{Micros, Step, of, program};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::CALLER;
use crate::service::{CLUB, CLUB_TIERS};

/// The tiers of the program that there is from the start, with what each is earned by. Runs are far shorter than the
/// year that counts.
const DEFAULT_TIERS: [(&str, i64); 3] = [("Bronze", 0), ("Silver", 100), ("Gold", 250)];

/// A tier given by hand.
#[derive(Debug, Clone)]
pub struct Given {
    tier: String,
    reason: String,
    created_at: Micros,
    pub expires_at: Option<Micros>,
    ended_at: Option<Micros>,
}

impl Given {
    fn ends_at(&self) -> Option<Micros> {
        self.ended_at.or(self.expires_at)
    }

    fn wins_at(&self, at: Micros) -> bool {
        self.created_at <= at && self.ends_at().is_none_or(|ends_at| at < ends_at)
    }
}

fn ladder(program_id: &str) -> &'static [(&'static str, i64)] {
    if program_id == CLUB {
        &CLUB_TIERS
    } else {
        &DEFAULT_TIERS
    }
}

impl Step<'_> {
    pub fn tier(&mut self, request: &pb::GetTierRequest) -> Result<pb::GetTierResponse, Refusal> {
        let at = request.as_of.as_ref().map(micros).expect("always given");
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        Ok(pb::GetTierResponse {
            tier: Some(member.tier(at)),
        })
    }

    pub fn override_tier(
        &mut self,
        request: &pb::OverrideTierRequest,
    ) -> Result<pb::OverrideTierResponse, Refusal> {
        let now = self.now;
        let expires_at = request.expires_at.as_ref().map(micros);
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        member.end_given(now);
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Refusal::invalid("expires_at"));
        }
        let mut tiers = ladder(program(&request.program_id)).iter();
        if !tiers.any(|(name, _)| *name == request.tier) {
            let refusal = Refusal::new(Code::NotFound, "TIER_NOT_FOUND");
            return Err(refusal.with("tier", &request.tier));
        }
        let from_tier = member.latest_tier(now).tier;
        if let Some(open) = member.open_given() {
            open.ended_at = Some(now.max(open.created_at));
        }
        member.given.push(Given {
            tier: request.tier.clone(),
            reason: request.reason.clone(),
            created_at: now,
            expires_at,
            ended_at: None,
        });
        let change = pb::TierChange {
            reason: pb::TierChangeReason::Overridden.into(),
            ..member.change(&from_tier, &request.reason, now)
        };
        Ok(pb::OverrideTierResponse {
            tier: Some(member.latest_tier(now)),
            change: Some(change),
            consistency_token: String::new(),
        })
    }

    pub fn clear_override(
        &mut self,
        request: &pb::ClearOverrideRequest,
    ) -> Result<pb::ClearOverrideResponse, Refusal> {
        let now = self.now;
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        member.end_given(now);
        let from_tier = member.latest_tier(now).tier;
        let Some(open) = member.open_given() else {
            let refusal = Refusal::new(Code::FailedPrecondition, "NOT_OVERRIDDEN");
            return Err(refusal.with("customer_id", &request.customer_id));
        };
        open.ended_at = Some(now.max(open.created_at));
        let change = pb::TierChange {
            reason: pb::TierChangeReason::OverrideEnded.into(),
            ..member.change(&from_tier, &request.reason, now)
        };
        Ok(pb::ClearOverrideResponse {
            tier: Some(member.latest_tier(now)),
            change: Some(change),
            consistency_token: String::new(),
        })
    }
}

impl Member {
    /// Ends what was given until now or before, for ever, whatever the clock does later.
    pub fn end_given(&mut self, now: Micros) {
        if let Some(open) = self.open_given()
            && open.expires_at.is_some_and(|expires_at| expires_at <= now)
        {
            open.ended_at = open.expires_at;
        }
    }

    fn open_given(&mut self) -> Option<&mut Given> {
        self.given.iter_mut().find(|given| given.ended_at.is_none())
    }

    /// As it is after the change.
    fn change(&self, from_tier: &str, remark: &str, now: Micros) -> pb::TierChange {
        let tier = self.latest_tier(now);
        pb::TierChange {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            from_tier: from_tier.to_owned(),
            to_tier: tier.tier,
            qualifying_points: tier.qualifying_points,
            changed_at: Some(stamp(now)),
            actor: CALLER.to_owned(),
            remark: remark.to_owned(),
            policy_version: 1,
            ..Default::default()
        }
    }

    /// As it is after the latest change, whatever the clock says: what is given and has not ended stands, also where
    /// the clock has gone back behind its beginning; what has ended does not, also where the clock has gone back
    /// behind its end.
    fn latest_tier(&self, now: Micros) -> pb::MemberTier {
        let open = self.given.iter().find(|given| given.ended_at.is_none());
        self.tier_given(now, open)
    }

    /// As it was at an instant by the times that are written.
    fn tier(&self, at: Micros) -> pb::MemberTier {
        let won = self.given.iter().rev().find(|given| given.wins_at(at));
        self.tier_given(at, won)
    }

    fn tier_given(&self, at: Micros, given: Option<&Given>) -> pb::MemberTier {
        let counts = self.lots.iter().filter(|lot| lot.earned_at <= at);
        let amount = counts.map(|lot| lot.qualifying).sum();
        let tiers = ladder(&self.program_id);
        let earned = tiers
            .iter()
            .rposition(|(_, threshold)| *threshold <= amount);
        let earned = earned.expect("the lowest tier costs nothing");
        let next = tiers.get(earned + 1);
        let tier = given.map_or(tiers[earned].0, |given| &given.tier);
        let place = tiers.iter().position(|(name, _)| *name == tier);
        let place = place.expect("only tiers of the program are given");
        pb::MemberTier {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            tier: tier.to_owned(),
            rank: i32::try_from(place + 1).expect("few"),
            qualifying_points: amount,
            next_tier: next.map(|(name, _)| (*name).to_owned()).unwrap_or_default(),
            points_to_next_tier: next.map_or(0, |(_, threshold)| threshold - amount),
            tier_override: given.map(|given| pb::TierOverride {
                actor: CALLER.to_owned(),
                reason: given.reason.clone(),
                created_at: Some(stamp(given.created_at)),
                expires_at: given.ends_at().map(stamp),
            }),
            earned_tier: tiers[earned].0.to_owned(),
            policy_version: 1,
            metric: pb::TierMetric::PointsEarned.into(),
            multiplier_basis_points: 10_000,
            ..Default::default()
        }
    }
}
