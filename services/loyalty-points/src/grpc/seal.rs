//! Sealing on demand: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::mutation::{Begun, Call};
use common::token::SharedToken;
use common::validate::Violations;
use tonic::Response;

use super::{Answer, audit, runs};
use crate::State;
use crate::audit::{heads, seal};
use crate::domain::signing::Head;
use crate::runs::End;
use crate::store::seals::signed;
use crate::writer::Run;

const METHOD: &str = "asterism.loyalty.v1.AuditService/SealNow";

pub async fn seal(state: &State, request: pb::SealNowRequest) -> Answer<pb::SealNowResponse> {
    let run = Run::from(request.dry_run);
    let call = || Call::new(METHOD, &request, run.request_id(&request.request_id));
    let mut v = Violations::new();
    let new = runs::new(&mut v, METHOD, &request.request_id, request.reason.clone());
    let (new,) = v.all((new,))?;
    if run == Run::Dry {
        let head = heads::find_newest(state).await?;
        return Ok(Response::new(pb::SealNowResponse {
            sealed: seal::count(&state.platform).await?,
            head: head.map(|head| audit::head(&head, &state.signer)),
            consistency_token: String::new(),
        }));
    }
    if !request.request_id.is_empty()
        && let Begun::Replayed(answer) = state.platform.begin(call()).await?
    {
        return answer;
    }
    // Sealing takes many transactions and is not undone: only its answer is given once.
    let sealed = seal::now(&state.platform).await?;
    let head = heads::find_newest(state).await?;
    let mut mutation = match state.platform.begin(call()).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let run_id = state.platform.ids.uuid();
    let kept = new.insert(mutation.tx(), &run_id, End::Reached).await;
    let respond = |()| pb::SealNowResponse {
        sealed,
        consistency_token: token(state, head.as_ref()),
        head: head.as_ref().map(|head| audit::head(head, &state.signer)),
    };
    mutation.finish(kept.map(respond)).await
}

/// Token of a head. The seals are where they are read: reads have nothing to wait for.
fn token(state: &State, head: Option<&Head>) -> String {
    SharedToken {
        source: state.platform.source.to_owned(),
        subject: "seals".to_owned(),
        revision: head.map_or(0, |head| signed(head.postings)),
    }
    .encode()
}
