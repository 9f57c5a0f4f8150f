//! Recalculation of a program's tiers: a message for each batch, decided when the caller takes it.

use api::loyalty::v1 as pb;
use common::mutation::Call;
use common::page::PageRequest;
use common::time::Timestamp;
use common::validate::Violations;
use futures::stream::{self, BoxStream, StreamExt as _};
use tonic::{Response, Status};

use super::parse::{self, RawPage};
use super::{Answer, present, raw_of, runs};
use crate::State;
use crate::domain::program::ProgramId;
use crate::runs::NewRun;
use crate::store::runs::RunRow;
use crate::store::tiers::TierChangeRow;
use crate::tiers::By;
use crate::tiers::recalculation::{Plan, Recalculated, Recalculation};
use crate::writer::Run;

const METHOD: &str = "asterism.loyalty.v1.LoyaltyService/RecalculateTiers";

pub type Batches = BoxStream<'static, Result<pb::RecalculateTiersResponse, Status>>;

pub async fn recalculate(state: &State, request: pb::RecalculateTiersRequest) -> Answer<Batches> {
    let run = Run::from(request.dry_run);
    let call = Call::new(METHOD, &request, run.request_id(&request.request_id));
    let asked = Asked::try_from(request)?;
    if run == Run::Dry {
        return Ok(Response::new(told(state, asked).await?));
    }
    let program_id = Some(&asked.program_id);
    let run = runs::begin(state, call, asked.new, program_id).await?;
    let recalculation = found(state, &asked.program_id, asked.page).await?;
    Ok(runs::answer(&run, made(recalculation, run.clone())))
}

struct Asked {
    program_id: ProgramId,
    page: PageRequest,
    as_of: Option<Timestamp>,
    new: NewRun,
}

impl TryFrom<pb::RecalculateTiersRequest> for Asked {
    type Error = common::Error;

    fn try_from(request: pb::RecalculateTiersRequest) -> Result<Self, Self::Error> {
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
        let new = runs::new(&mut v, METHOD, &request.request_id, request.reason);
        let (program_id, page, new) = v.all((program_id, page, new))?;
        Ok(Self {
            program_id,
            page,
            as_of,
            new,
        })
    }
}

async fn found(
    state: &State,
    program_id: &ProgramId,
    page: PageRequest,
) -> Result<Recalculation, Status> {
    let mut db = state.platform.reader().await?;
    let program = state.programs.get(&mut db, program_id).await?;
    Ok(Recalculation {
        state: state.clone(),
        program,
        page,
    })
}

/// Who would move.
async fn told(state: &State, asked: Asked) -> Result<Batches, Status> {
    let Asked { as_of, new, .. } = asked;
    let recalculation = found(state, &asked.program_id, asked.page).await?;
    let asked = (recalculation, new);
    let batches = stream::try_unfold(
        (asked, None),
        move |((recalculation, new), after)| async move {
            if after.as_ref().is_some_and(|plan: &Plan| !plan.has_next()) {
                return Ok(None);
            }
            let by = By {
                actor: &new.actor,
                remark: &new.reason,
            };
            let (plan, done) = recalculation.tell(after.as_ref(), as_of, by).await?;
            let message = present(done);
            Ok::<_, Status>(Some((message, ((recalculation, new), Some(plan)))))
        },
    );
    Ok(batches.boxed())
}

/// Who is moved, or was.
fn made(recalculation: Recalculation, run: RunRow) -> Batches {
    let batches = stream::try_unfold((0, None), move |(number, after)| {
        let (recalculation, run) = (recalculation.clone(), run.clone());
        async move {
            if after.as_ref().is_some_and(|plan: &Plan| !plan.has_next()) {
                return Ok(None);
            }
            let batch = recalculation.batch(&run, number, after.as_ref()).await?;
            let Some((plan, done)) = batch else {
                return Ok(None);
            };
            let token = |change: &TierChangeRow| {
                let platform = &recalculation.state.platform;
                platform.token(&change.customer_id, change.revision)
            };
            let consistency_tokens = done.changes.iter().map(token).collect();
            let message = pb::RecalculateTiersResponse {
                consistency_tokens,
                ..present(done)
            };
            Ok::<_, Status>(Some((message, (number + 1, Some(plan)))))
        }
    });
    batches.boxed()
}

fn present(done: Recalculated) -> pb::RecalculateTiersResponse {
    pb::RecalculateTiersResponse {
        members: i64::try_from(done.members).expect("a batch is between 0 and 1000"),
        changes: done.changes.iter().map(present::tier_change).collect(),
        next_page_token: done.next_token,
        consistency_tokens: Vec::new(),
    }
}
