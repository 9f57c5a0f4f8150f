//! Tiers: what is earned, what is given by hand, and which of them wins at an instant.

use api::loyalty::v1 as pb;
use tonic::Code;

use super::member::Member;
use super::periods::{Record, earned};
use super::{Micros, Step, of};
use crate::answers::{Refusal, changed, micros, stamp};
use crate::operations::{CALLER, Recalculate, Recalculated};

/// A tier given by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    tier: String,
    reason: String,
    created_at: Micros,
    pub expires_at: Option<Micros>,
    ended_at: Option<Micros>,
}

impl Given {
    pub(super) fn ends_at(&self) -> Option<Micros> {
        self.ended_at.or(self.expires_at)
    }

    pub(super) fn wins_at(&self, at: Micros) -> bool {
        self.created_at <= at && self.ends_at().is_none_or(|ends_at| at < ends_at)
    }
}

impl Step<'_> {
    pub fn tier(&mut self, request: &pb::GetTierRequest) -> Result<pb::GetTierResponse, Refusal> {
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        Ok(pb::GetTierResponse {
            tier: Some(member.tier(at)),
        })
    }

    pub fn tier_history(
        &mut self,
        request: &pb::ListTierHistoryRequest,
    ) -> Result<pb::ListTierHistoryResponse, Refusal> {
        let member = self.find(of(&request.program_id, &request.customer_id), "")?;
        Ok(pb::ListTierHistoryResponse {
            changes: member.moves(),
            next_page_token: String::new(),
        })
    }

    /// The part of a recalculation that is about one member. Of all of it there is nothing to foretell.
    pub fn recalculate(&mut self, request: &Recalculate) -> Result<Recalculated, Refusal> {
        let asked = &request.asked;
        if asked.as_of.is_some() && !asked.dry_run {
            return Err(Refusal::invalid("as_of"));
        }
        let program_id = self.known(&asked.program_id)?.to_owned();
        let mut told = Recalculated::default();
        let Some(customer_id) = request.of.as_ref() else {
            return Ok(told);
        };
        let at = request.as_of().unwrap_or(self.now);
        // Of who is merged nothing is decided.
        let Ok(member) = self.find_standing(of(&program_id, customer_id), "") else {
            return Ok(told);
        };
        if let Some(reason) = member.move_on(at) {
            let change = pb::TierChange {
                reason: reason.into(),
                ..member.change(&member.tier.clone(), &asked.reason, at)
            };
            told.messages.push(pb::RecalculateTiersResponse {
                consistency_tokens: vec![String::new(); usize::from(!asked.dry_run)],
                changes: vec![change],
                ..Default::default()
            });
        }
        Ok(told)
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
        let mut tiers = member.policy(now).tiers.iter();
        if !tiers.any(|tier| tier.name == request.tier) {
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
    /// The tier is decided by another version of the policy, if one holds since it was decided last.
    pub fn follow(&mut self, now: Micros) {
        if self.decided_by < self.policy(now).version {
            self.end_given(now);
        }
    }

    /// Decides the tier anew because of nothing but time and other versions of the policy; tells why it changes.
    fn move_on(&mut self, now: Micros) -> Option<pb::TierChangeReason> {
        let given = self.open_given().is_some();
        let by = self.decided_by;
        self.end_given(now);
        let tier = self.latest_tier(now);
        if given && self.open_given().is_none() {
            return Some(pb::TierChangeReason::OverrideEnded);
        }
        if tier.tier == self.tier {
            return None;
        }
        if by != self.decided_by {
            return Some(pb::TierChangeReason::PolicyChanged);
        }
        let tiers = &self.policy(now).tiers;
        let before = tiers.iter().find(|it| it.name == self.tier);
        if before.is_none_or(|before| before.rank < tier.rank) {
            return Some(pb::TierChangeReason::Earned);
        }
        Some(pb::TierChangeReason::AgedOut)
    }

    /// The tier is what it comes to now, if it was to be decided.
    pub fn settle_tier(&mut self, now: Micros) {
        if std::mem::take(&mut self.is_undecided) {
            let to_tier = self.latest_tier(now).tier;
            let from_tier = std::mem::replace(&mut self.tier, to_tier.clone());
            if from_tier != to_tier {
                self.tiers.push(pb::TierChange {
                    from_tier,
                    to_tier,
                    changed_at: Some(stamp(now)),
                    policy_version: self.decided_by,
                    ..Default::default()
                });
            }
        }
    }

    /// Ends what was given until now or before, for ever, whatever the clock does later.
    pub fn end_given(&mut self, now: Micros) {
        self.is_undecided = true;
        self.decided_by = self.policy(now).version;
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
            policy_version: tier.policy_version,
            ..Default::default()
        }
    }

    /// As it is after the latest change, whatever the clock says: what is given and has not ended stands, also where
    /// the clock has gone back behind its beginning; what has ended does not, also where the clock has gone back
    /// behind its end.
    fn latest_tier(&self, now: Micros) -> pb::MemberTier {
        let open = self.given.iter().find(|given| given.ended_at.is_none());
        self.tier_given((self.policy(now), now), open)
    }

    /// How it has moved, the latest move first.
    pub fn moves(&self) -> Vec<pb::TierChange> {
        let latest_first: Vec<_> = self.tiers.iter().rev().cloned().collect();
        changed(&latest_first)
    }

    /// Its name at an instant, and what counts for it.
    pub fn tier_and_amount(&self, at: Micros) -> (String, i64) {
        let tier = self.tier(at);
        (tier.tier, tier.qualifying_points)
    }

    /// As it was at an instant by the times that are written.
    pub fn tier(&self, at: Micros) -> pb::MemberTier {
        self.tier_by(self.policy(at), at)
    }

    /// The same by a policy.
    pub fn tier_by(&self, policy: &pb::TierPolicy, at: Micros) -> pb::MemberTier {
        let won = self.given.iter().rev().find(|given| given.wins_at(at));
        self.tier_given((policy, at), won)
    }

    pub(super) fn tier_given(
        &self,
        (policy, at): (&pb::TierPolicy, Micros),
        given: Option<&Given>,
    ) -> pb::MemberTier {
        let tiers = &policy.tiers;
        let counted = self.counted_by(policy.metric());
        let record = Record {
            enrolled_at: self.enrolled_at,
            counted: &counted,
        };
        let earned = earned(policy, &record, at);
        let (amount, earned) = (earned.amount, earned.place);
        let next = tiers.get(earned + 1);
        // A tier that the policy does not have does not win.
        let place = |given: &Given| tiers.iter().position(|tier| tier.name == given.tier);
        let won = given.and_then(|given| Some((given, place(given)?)));
        let place = won.map_or(earned, |(_, place)| place);
        let tier = &tiers[place];
        pb::MemberTier {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            tier: tier.name.clone(),
            rank: tier.rank,
            qualifying_points: amount,
            next_tier: next.map(|next| next.name.clone()).unwrap_or_default(),
            points_to_next_tier: next.map_or(0, |next| next.threshold - amount),
            tier_override: won.map(|(given, _)| pb::TierOverride {
                actor: CALLER.to_owned(),
                reason: given.reason.clone(),
                created_at: Some(stamp(given.created_at)),
                expires_at: given.ends_at().map(stamp),
            }),
            earned_tier: tiers[earned].name.clone(),
            policy_version: policy.version,
            metric: policy.metric,
            multiplier_basis_points: tier.multiplier_basis_points,
            benefits: tier.benefits.clone(),
            ..Default::default()
        }
    }

    /// What counts, each from an instant on.
    pub(super) fn counted_by(&self, metric: pb::TierMetric) -> Vec<(Micros, i64)> {
        let bought = self.bought.values();
        match metric {
            pb::TierMetric::Spend => bought.map(|it| (it.at, it.left)).collect(),
            pb::TierMetric::Frequency => bought.map(|it| (it.at, i64::from(it.left > 0))).collect(),
            pb::TierMetric::PointsEarned | pb::TierMetric::Unspecified => {
                let own = self.lots.iter().map(|lot| (lot.earned_at, lot.qualifying));
                // Whoever is merged counts with who stands for it now, at any instant.
                let others = self.others.values().flat_map(|it| it.qualifying.clone());
                own.chain(others).collect()
            }
        }
    }
}
