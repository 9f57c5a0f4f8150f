//! Programs and their members, made by call: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::mutation::{Begun, Call};

use super::dry_run::conclude;
use super::{Answer, parse, present};
use crate::domain::program::Program;
use crate::members::{self, Enroll};
use crate::store::members::Member;
use crate::tiers::policies;
use crate::writer::Run;
use crate::{State, programs};

pub async fn create_program(
    state: &State,
    request: pb::CreateProgramRequest,
) -> Answer<pb::CreateProgramResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/CreateProgram";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let now = state.platform.now();
    let program = parse::new_program(request, now)?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let created = programs::create(mutation.tx(), program).await;
    let respond = |program: Program| pb::CreateProgramResponse {
        program: Some(present::program(&program, now)),
        consistency_token: match run {
            Run::Real => {
                let first = program.policies.latest().version;
                policies::token(state, &program.program_id, first)
            }
            Run::Dry => String::new(),
        },
    };
    conclude(mutation, created.map(respond), run).await
}

pub async fn enroll(
    state: &State,
    request: pb::EnrollMemberRequest,
) -> Answer<pb::EnrollMemberResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/EnrollMember";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let enroll = Enroll::try_from(request)?;
    state.platform.at_least(&enroll.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let enrolled = members::enroll(state, mutation.tx(), &enroll).await;
    let respond = |(member, revision): (Member, i64)| pb::EnrollMemberResponse {
        member: Some(present::member(&member)),
        consistency_token: match run {
            Run::Real => state.platform.token(&member.customer_id, revision),
            Run::Dry => String::new(),
        },
    };
    conclude(mutation, enrolled.map(respond), run).await
}
