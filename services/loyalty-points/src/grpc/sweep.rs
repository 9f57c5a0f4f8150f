//! The sweep on demand: a message for each batch, done when the caller takes it.

use api::loyalty::v1 as pb;
use common::mutation::Call;
use common::validate::Violations;
use futures::stream::{self, BoxStream, StreamExt as _};
use tonic::{Response, Status};

use super::present::told_passed_on;
use super::{Answer, runs};
use crate::State;
use crate::ledger::sweep::{Extent, Sweep, SweepRun, Swept};
use crate::store::runs::{MemberRow, RunRow};
use crate::writer::Run;

const METHOD: &str = "asterism.loyalty.v1.LoyaltyService/SweepExpiry";

pub type Batches = BoxStream<'static, Result<pb::SweepExpiryResponse, Status>>;

pub async fn sweep(state: &State, request: pb::SweepExpiryRequest) -> Answer<Batches> {
    let run = Run::from(request.dry_run);
    let call = Call::new(METHOD, &request, run.request_id(&request.request_id));
    let mut v = Violations::new();
    let new = runs::new(&mut v, METHOD, &request.request_id, request.reason);
    let (new,) = v.all((new,))?;
    if run == Run::Dry {
        return Ok(Response::new(told(state).await?));
    }
    let run = runs::begin(state, call, new, None).await?;
    Ok(runs::answer(&run, made(state, run.clone()).await?))
}

/// What would be done.
async fn told(state: &State) -> Result<Batches, Status> {
    let sweep = Sweep::begin(state.clone(), Extent::Told).await?;
    let begin = (sweep, Swept::default());
    let batches = stream::try_unfold(begin, |(mut sweep, mut so_far)| async move {
        let Some(mut members) = sweep.batch().await? else {
            return Ok(None);
        };
        members.sort_by(|a, b| {
            let key = |row: &MemberRow| (row.customer_id.to_string(), row.program_id.clone());
            key(a).cmp(&key(b))
        });
        let message = present(&mut so_far, &members, |_, _| String::new())?;
        Ok::<_, Status>(Some((message, (sweep, so_far))))
    });
    Ok(batches.boxed())
}

/// What is done, or was.
async fn made(state: &State, run: RunRow) -> Result<Batches, Status> {
    let sweep = SweepRun::of(state.clone(), run).await?;
    let platform = state.platform.clone();
    let begin = (sweep, 0, None, Swept::default());
    let batches = stream::try_unfold(begin, move |(sweep, number, after, mut so_far)| {
        let platform = platform.clone();
        async move {
            let batch = sweep.batch(number, after.as_ref()).await?;
            let Some((place, members)) = batch else {
                return Ok(None);
            };
            let message = present(&mut so_far, &members, |row, revision| {
                platform.token(&row.customer_id, revision)
            })?;
            Ok::<_, Status>(Some((message, (sweep, number + 1, Some(place), so_far))))
        }
    });
    Ok(batches.boxed())
}

/// Who was done, and all of it so far.
fn present(
    so_far: &mut Swept,
    members: &[MemberRow],
    token: impl Fn(&MemberRow, i64) -> String,
) -> Result<pb::SweepExpiryResponse, common::Error> {
    let mut swept = Vec::new();
    for row in members {
        *so_far += Swept::from(row);
        if let Some(revision) = row.revision {
            swept.push(pb::SweptMember {
                program_id: row.program_id.clone(),
                customer_id: row.customer_id.to_string(),
                holds_expired: row.holds_expired,
                points_expired: row.points_expired,
                notices: row.notices,
                consistency_token: token(row, revision),
                passed_on: told_passed_on(&row.passed_on)?,
            });
        }
    }
    Ok(pb::SweepExpiryResponse {
        members: so_far.members,
        holds_expired: so_far.holds_expired,
        points_expired: so_far.points_expired,
        notices: so_far.notices,
        members_failed: so_far.failed,
        swept,
    })
}
