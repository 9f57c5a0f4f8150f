//! Tiers: what is earned, what is given by hand, and which of them wins at an instant.

use api::loyalty::v1 as pb;
use tonic::Code;

use super::member::Member;
use super::periods::{GRACE, Period};
use super::{DAY, Micros, Step, of, program};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::{CALLER, Recalculate, Recalculated};
use crate::service::{CLUB, CLUB_TIERS};

/// The tiers of the program that there is from the start, with what each is earned by.
const DEFAULT_TIERS: [(&str, i64, i32); 3] = [
    ("Bronze", 0, 10_000),
    ("Silver", 100, 10_000),
    ("Gold", 250, 10_000),
];

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

/// What purchases earn in a tier, in basis points.
pub fn multiplier(program_id: &str, tier: &str) -> i64 {
    let mut tiers = ladder(program_id).iter();
    let found = tiers.find(|(name, ..)| *name == tier);
    i64::from(found.expect("a tier of the program").2)
}

/// Until when tiers are held.
fn period(program_id: &str) -> Period {
    if program_id == CLUB {
        Period::CalendarYear { grace: GRACE }
    } else {
        Period::Rolling(365 * DAY)
    }
}

fn ladder(program_id: &str) -> &'static [(&'static str, i64, i32)] {
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

    pub fn recalculate(&mut self, request: &Recalculate) -> Recalculated {
        let now = self.now;
        let mut answer = Recalculated::default();
        for customer_id in &request.customers {
            // Of who is merged nothing is decided.
            let whose = of(&request.program_id, customer_id);
            let Ok(member) = self.find_standing(whose, "") else {
                continue;
            };
            member.end_given(now);
            let tier = member.latest_tier(now).tier;
            answer.tiers.insert(customer_id.clone(), tier);
        }
        answer
    }

    pub fn override_tier(
        &mut self,
        request: &pb::OverrideTierRequest,
    ) -> Result<pb::OverrideTierResponse, Refusal> {
        let now = self.now;
        let expires_at = request.expires_at.as_ref().map(micros);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find_standing(whose, "")?;
        member.end_given(now);
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(Refusal::invalid("expires_at"));
        }
        let mut tiers = ladder(program(&request.program_id)).iter();
        if !tiers.any(|(name, ..)| *name == request.tier) {
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
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find_standing(whose, "")?;
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

    /// Its name at an instant, and what counts for it.
    pub fn tier_and_amount(&self, at: Micros) -> (String, i64) {
        let tier = self.tier(at);
        (tier.tier, tier.qualifying_points)
    }

    /// Its name at an instant.
    pub fn tier_at(&self, at: Micros) -> String {
        self.tier(at).tier
    }

    /// As it was at an instant by the times that are written.
    fn tier(&self, at: Micros) -> pb::MemberTier {
        let won = self.given.iter().rev().find(|given| given.wins_at(at));
        self.tier_given(at, won)
    }

    fn tier_given(&self, at: Micros, given: Option<&Given>) -> pb::MemberTier {
        let tiers = ladder(&self.program_id);
        let enough = |amount: i64| {
            let mut tiers = tiers.iter();
            let place = tiers.rposition(|(_, threshold, _)| *threshold <= amount);
            place.expect("the lowest tier costs nothing")
        };
        let points = self.lots.iter().map(|lot| (lot.earned_at, lot.qualifying));
        // Whoever is merged counts with who stands for it now, at any instant.
        let others = self.others.values().flat_map(|it| it.qualifying.clone());
        let points: Vec<_> = points.chain(others).collect();
        let earned = period(&self.program_id).earned(&points, at, enough);
        let (amount, earned) = (earned.amount, earned.place);
        let next = tiers.get(earned + 1);
        let tier = given.map_or(tiers[earned].0, |given| &given.tier);
        let place = tiers.iter().position(|(name, ..)| *name == tier);
        let place = place.expect("only tiers of the program are given");
        pb::MemberTier {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            tier: tier.to_owned(),
            rank: i32::try_from(place + 1).expect("few"),
            qualifying_points: amount,
            next_tier: next
                .map(|(name, ..)| (*name).to_owned())
                .unwrap_or_default(),
            points_to_next_tier: next.map_or(0, |(_, threshold, _)| threshold - amount),
            tier_override: given.map(|given| pb::TierOverride {
                actor: CALLER.to_owned(),
                reason: given.reason.clone(),
                created_at: Some(stamp(given.created_at)),
                expires_at: given.ends_at().map(stamp),
            }),
            earned_tier: tiers[earned].0.to_owned(),
            policy_version: 1,
            metric: pb::TierMetric::PointsEarned.into(),
            multiplier_basis_points: tiers[place].2,
            ..Default::default()
        }
    }
}
