//! What is told of members: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::validate::Violations;
use tonic::Response;

use super::parse::RawPage;
use super::{Answer, parse, present, raw_of};
use crate::{State, members};

pub async fn get(state: &State, request: pb::GetMemberRequest) -> Answer<pb::GetMemberResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let of = parse::of(&mut v, &raw);
    let (of,) = v.all((of,))?;
    state.platform.at_least(&of.at_least).await?;
    let mut db = state.platform.reader().await?;
    let member = members::get(state, &mut db, &of.program_id, &of.customer_id).await?;
    Ok(Response::new(pb::GetMemberResponse {
        member: Some(present::member(&member)),
    }))
}

pub async fn list(
    state: &State,
    request: pb::ListMembersRequest,
) -> Answer<pb::ListMembersResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let raw = raw_of(&request.program_id, "", "");
    let (size, token) = (request.page_size, request.page_token.as_str());
    let page = parse::page_of(
        &mut v,
        &raw,
        &RawPage {
            size,
            token,
            list: "ListMembers",
        },
    );
    let (program_id, page) = v.all((program_id, page))?;
    let (rows, next_page_token) = members::list(state, &program_id, &page).await?;
    let members = rows.iter().map(present::member).collect();
    Ok(Response::new(pb::ListMembersResponse {
        members,
        next_page_token,
    }))
}
