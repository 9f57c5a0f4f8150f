//! Merges of members: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::ids::CustomerId;
use common::validate::Violations;

use super::{Answer, parse, post, present};
use crate::State;
use crate::ledger::merges::{self, After, MergeMembers, Merged, UnmergeMembers, Unmerged};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

pub async fn merge(
    state: &State,
    request: pb::MergeMembersRequest,
) -> Answer<pb::MergeMembersResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/MergeMembers";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, MergeMembers::try_from(request)?).await
}

pub async fn unmerge(
    state: &State,
    request: pb::UnmergeMembersRequest,
) -> Answer<pb::UnmergeMembersResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/UnmergeMembers";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, UnmergeMembers::try_from(request)?).await
}

impl Posting for MergeMembers {
    type Answer = pb::MergeMembersResponse;

    fn at_least(&self) -> &str {
        &self.at_least
    }

    fn needs(&self) -> Needs {
        Needs {
            customers: vec![self.survivor.clone(), self.absorbed.clone()],
            sources: Vec::new(),
        }
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let Merged {
            mut merge,
            program,
            mut moved,
            survivor,
            absorbed,
        } = merges::merge(state, work, self).await?;
        if run == Run::Dry {
            merge.merge_id.clear();
            merges::unmade([&mut moved]);
        }
        Ok(pb::MergeMembersResponse {
            moved: present::moved(&program, &moved),
            consistency_token: token(state, run, &merge.survivor, survivor.revision),
            absorbed_consistency_token: token(state, run, &merge.absorbed, absorbed.revision),
            survivor_balances: balances(survivor),
            merge: Some(present::merge(&merge)),
        })
    }
}

impl Posting for UnmergeMembers {
    type Answer = pb::UnmergeMembersResponse;

    fn at_least(&self) -> &str {
        &self.at_least
    }

    /// Whose members they are is known once the merge is read.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let mut unmerged = merges::unmerge(state, work, self).await?;
        if run == Run::Dry {
            merges::not_parted(&mut unmerged);
        }
        let passing = unmerged.passing(work).await?;
        let mut answer = pb::UnmergeMembersResponse::default();
        if let Some(mut passing) = passing {
            if run == Run::Dry {
                passing.revisions.clear();
            }
            answer.passed_on = present::passed_on(&state.platform, &passing);
            answer.standing_consistency_token = present::token_of_asked(&state.platform, &passing);
        }
        let Unmerged {
            merge,
            program,
            moved,
            returned,
            survivor,
            absorbed,
            ..
        } = unmerged;
        Ok(pb::UnmergeMembersResponse {
            moved: present::moved(&program, &moved),
            returned: present::moved(&program, &returned),
            consistency_token: token(state, run, &merge.absorbed, absorbed.revision),
            survivor_consistency_token: token(state, run, &merge.survivor, survivor.revision),
            survivor_balances: balances(survivor),
            absorbed_balances: balances(absorbed),
            merge: Some(present::merge(&merge)),
            ..answer
        })
    }
}

fn balances(after: After) -> Vec<pb::Balance> {
    let balances = after.balances.into_iter();
    balances
        .map(|(currency, balance)| present::balance(balance, &currency))
        .collect()
}

/// A dry run leaves nothing to wait for.
fn token(state: &State, run: Run, customer_id: &CustomerId, revision: i64) -> String {
    match run {
        Run::Real => state.platform.token(customer_id, revision),
        Run::Dry => String::new(),
    }
}

impl TryFrom<pb::MergeMembersRequest> for MergeMembers {
    type Error = Error;

    fn try_from(request: pb::MergeMembersRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let program_id = parse::program_id(&mut v, &request.program_id);
        let survivor = request.survivor_id.as_str();
        let survivor = v.parse("survivor_id", survivor, CustomerId::parse);
        let absorbed = request.absorbed_id.as_str();
        let absorbed = v.parse("absorbed_id", absorbed, CustomerId::parse);
        if survivor.is_some() && survivor == absorbed {
            v.add("absorbed_id", "must be another customer than survivor_id");
        }
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        let (program_id, survivor, absorbed, reason) =
            v.all((program_id, survivor, absorbed, reason))?;
        Ok(Self {
            program_id,
            survivor,
            absorbed,
            actor: identity::current().subject.to_string(),
            reason,
            at_least: request.at_least,
        })
    }
}

impl TryFrom<pb::UnmergeMembersRequest> for UnmergeMembers {
    type Error = Error;

    fn try_from(request: pb::UnmergeMembersRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let program_id = parse::program_id(&mut v, &request.program_id);
        let merge_id = parse::text(&mut v, "merge_id", request.merge_id, 1..=64);
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        let (program_id, merge_id, reason) = v.all((program_id, merge_id, reason))?;
        Ok(Self {
            program_id,
            merge_id,
            actor: identity::current().subject.to_string(),
            reason,
            at_least: request.at_least,
        })
    }
}
