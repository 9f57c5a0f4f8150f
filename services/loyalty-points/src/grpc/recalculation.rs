//! Recalculation of a program's tiers: a message for each batch, decided when the caller takes it.

use api::loyalty::v1 as pb;
use common::validate::Violations;
use futures::stream::{self, BoxStream, StreamExt as _};
use tonic::{Response, Status};

use super::parse::{self, RawPage};
use super::{Answer, present, raw_of};
use crate::State;
use crate::tiers::recalculation::{Extent, Recalculated, Recalculation};

pub type Batches = BoxStream<'static, Result<pb::RecalculateTiersResponse, Status>>;

pub async fn recalculate(state: &State, request: pb::RecalculateTiersRequest) -> Answer<Batches> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let page = RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: "RecalculateTiers",
    };
    let page = parse::page_of(&mut v, &raw_of(&request.program_id, "", ""), &page);
    let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
    if request.as_of.is_some() && !request.dry_run {
        v.add("as_of", "must not be given without dry_run");
    }
    let (program_id, page) = v.all((program_id, page))?;
    let mut db = state.platform.reader().await?;
    let program = state.programs.get(&mut db, &program_id).await?;
    drop(db);
    let first: String = page.after().unwrap_or_default();
    let recalculation = Recalculation {
        state: state.clone(),
        program,
        page,
        as_of,
        extent: if request.dry_run {
            Extent::Told
        } else {
            Extent::Made
        },
    };
    let batches = stream::try_unfold(Some(first), move |after| {
        let recalculation = recalculation.clone();
        async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let done = recalculation.batch(&after).await?;
            let after = done.last.clone();
            Ok::<_, Status>(Some((present(done), after)))
        }
    });
    Ok(Response::new(batches.boxed()))
}

fn present(done: Recalculated) -> pb::RecalculateTiersResponse {
    pb::RecalculateTiersResponse {
        members: i64::try_from(done.members).expect("a batch is between 0 and 1000"),
        changes: done.changes.iter().map(present::tier_change).collect(),
        next_page_token: done.next_token,
    }
}
