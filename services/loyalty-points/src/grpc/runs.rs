//! Runs: begun once for each request, and listed.

use api::loyalty::v1 as pb;
use common::identity;
use common::mutation::{Begun, Call};
use common::time::Timestamp;
use common::validate::Violations;
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use super::{Answer, parse};
use crate::State;
use crate::domain::program::ProgramId;
use crate::runs::{End, NewRun};
use crate::store::runs::{self, RunRow};

/// What of a request is about the run itself.
pub fn new(
    v: &mut Violations,
    method: &'static str,
    request_id: &str,
    reason: String,
) -> Option<NewRun> {
    v.request_id(request_id);
    let reason = parse::reason(v, reason)?;
    Some(NewRun {
        method,
        request_id: request_id.to_owned(),
        actor: identity::current().subject.to_string(),
        reason,
    })
}

/// Begins a run, or finds the one that the same request began. Where it is about a program, that must exist.
pub async fn begin(
    state: &State,
    call: Call,
    new: NewRun,
    program_id: Option<&ProgramId>,
) -> Result<RunRow, Status> {
    // The answer that is kept is the run's identifier.
    let run_id = match state.platform.begin::<String>(call).await? {
        Begun::Replayed(answer) => answer?,
        Begun::Fresh(mut mutation) => {
            let run_id = state.platform.ids.uuid();
            let tx = mutation.tx();
            let known = match program_id {
                Some(program_id) => state.programs.get(tx, program_id).await.map(drop),
                None => Ok(()),
            };
            let begun = match known {
                Ok(()) => new.insert(tx, &run_id, End::Ahead).await,
                Err(unknown) => Err(unknown),
            };
            mutation.finish(begun.map(|()| run_id)).await?
        }
    };
    let run_id = run_id.into_inner();
    let found = runs::find(&mut state.platform.reader().await?, &run_id).await?;
    let gone = || common::Error::Internal(format!("run {run_id} is gone"));
    Ok(found.ok_or_else(gone)?)
}

/// Answers with what a run tells, marked where all of it is told again.
pub fn answer<T>(run: &RunRow, told: T) -> Response<T> {
    let mut response = Response::new(told);
    if run.finished_at.is_some() {
        let replayed = MetadataValue::from_static("true");
        response
            .metadata_mut()
            .insert(common::mutation::REPLAYED, replayed);
    }
    response
}

pub async fn list(state: &State, request: pb::ListRunsRequest) -> Answer<pb::ListRunsResponse> {
    let mut v = Violations::new();
    let page = parse::RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: "ListRuns",
    };
    let page = parse::page_of(&mut v, &super::raw_of("", "", ""), &page);
    let (page,) = v.all((page,))?;
    let before: Option<(i64, String)> = page.after();
    let (begun_at, run_id) = before.unwrap_or((i64::MAX, String::new()));
    let mut db = state.platform.reader().await?;
    let before = (Timestamp::from_micros(begun_at), run_id.as_str());
    let mut found = runs::list(&mut db, before, page.size + 1).await?;
    let key = |run: &RunRow| (run.begun_at.micros(), run.run_id.clone());
    let next_page_token = page.cut(&mut found, key);
    Ok(Response::new(pb::ListRunsResponse {
        runs: found.into_iter().map(present).collect(),
        next_page_token,
    }))
}

fn present(run: RunRow) -> pb::Run {
    pb::Run {
        run_id: run.run_id,
        method: run.method,
        request_id: run.request_id.unwrap_or_default(),
        actor: run.actor,
        reason: run.reason,
        begun_at: Some(run.begun_at.into()),
        finished_at: run.finished_at.map(Into::into),
    }
}
