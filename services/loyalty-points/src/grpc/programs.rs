//! What is told of programs: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::page::PageRequest;
use common::validate::Violations;
use tonic::Response;

use super::{Answer, parse, present};
use crate::{State, programs};

pub async fn get(state: &State, request: pb::GetProgramRequest) -> Answer<pb::GetProgramResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let (program_id,) = v.all((program_id,))?;
    let mut db = state.platform.reader().await?;
    let program = state.programs.current(&mut db, &program_id).await?;
    let program = Some(present::program(&program, state.platform.now()));
    Ok(Response::new(pb::GetProgramResponse { program }))
}

pub async fn list(
    state: &State,
    request: pb::ListProgramsRequest,
) -> Answer<pb::ListProgramsResponse> {
    let mut v = Violations::new();
    let page = PageRequest::parse(
        &mut v,
        request.page_size,
        &request.page_token,
        "ListPrograms",
    );
    let (page,) = v.all((page,))?;
    let (programs, next_page_token) = programs::list(state, &page).await?;
    let now = state.platform.now();
    let programs = programs
        .iter()
        .map(|program| present::program(program, now))
        .collect();
    Ok(Response::new(pb::ListProgramsResponse {
        programs,
        next_page_token,
    }))
}

pub async fn summarise(
    state: &State,
    request: pb::GetProgramSummaryRequest,
) -> Answer<pb::GetProgramSummaryResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
    let (program_id,) = v.all((program_id,))?;
    let summary = programs::summarise(state, program_id, as_of).await?;
    Ok(Response::new(present::summary(summary)))
}
