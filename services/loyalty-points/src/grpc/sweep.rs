//! The sweep on demand: a message for each batch, done when the caller takes it.

use api::loyalty::v1 as pb;
use futures::stream::{self, BoxStream, StreamExt as _};
use tonic::{Response, Status};

use super::Answer;
use crate::State;
use crate::ledger::sweep::{Extent, Sweep, Swept};

pub type Batches = BoxStream<'static, Result<pb::SweepExpiryResponse, Status>>;

pub async fn sweep(state: &State, request: pb::SweepExpiryRequest) -> Answer<Batches> {
    let extent = if request.dry_run {
        Extent::Told
    } else {
        Extent::Made
    };
    let sweep = Sweep::begin(state.clone(), extent).await?;
    let batches = stream::try_unfold(sweep, |mut sweep| async move {
        let done = sweep.batch().await?;
        Ok::<_, Status>(done.map(|so_far| (present(so_far), sweep)))
    });
    Ok(Response::new(batches.boxed()))
}

fn present(so_far: Swept) -> pb::SweepExpiryResponse {
    pb::SweepExpiryResponse {
        members: so_far.members,
        holds_expired: so_far.holds_expired,
        points_expired: so_far.points_expired,
        notices: so_far.notices,
        members_failed: so_far.failed,
    }
}
