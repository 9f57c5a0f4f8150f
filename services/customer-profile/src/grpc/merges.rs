//! Merges: proto in, use case, proto out.

use api::customer::v1 as pb;
use common::identity;
use common::ids::CustomerId;
use common::mutation::{Begun, Call, Mutation};
use common::page::PageRequest;
use common::validate::Violations;
use prost::Message;
use tonic::{Response, Status};

use crate::State;
use crate::domain::trimmed;
use crate::error::Error;
use crate::merges::{self, Changed, MergeCustomers, UnmergeCustomers};

const REASON_CHARS_MAX: usize = 200;
const MERGE_ID_CHARS_MAX: usize = 64;

pub async fn merge(
    state: &State,
    request: pb::MergeCustomersRequest,
) -> Result<Response<pb::MergeCustomersResponse>, Status> {
    let dry_run = request.dry_run;
    let method = "asterism.customer.v1.CustomerProfileService/MergeCustomers";
    let call = Call::new(method, &request, used(&request.request_id, dry_run));
    let parsed = MergeCustomers::try_from(request)?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let changed = merges::merge(state, mutation.tx(), parsed).await;
    let answer = changed.map(|changed| {
        let mut response = pb::MergeCustomersResponse {
            merge: Some((&changed.merge).into()),
            survivor: Some((&changed.survivor).into()),
            absorbed: Some((&changed.absorbed).into()),
            consistency_token: state
                .platform
                .token(&changed.survivor.id, changed.survivor.revision),
        };
        if dry_run {
            response.consistency_token.clear();
            response.merge.get_or_insert_default().merge_id.clear();
        }
        response
    });
    conclude(mutation, answer, dry_run).await
}

pub async fn unmerge(
    state: &State,
    request: pb::UnmergeCustomersRequest,
) -> Result<Response<pb::UnmergeCustomersResponse>, Status> {
    let dry_run = request.dry_run;
    let method = "asterism.customer.v1.CustomerProfileService/UnmergeCustomers";
    let call = Call::new(method, &request, used(&request.request_id, dry_run));
    let parsed = UnmergeCustomers::try_from(request)?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let changed = merges::unmerge(state, mutation.tx(), parsed).await;
    let answer = changed.map(|changed| {
        let Changed {
            merge,
            survivor,
            absorbed,
        } = changed;
        let token = state.platform.token(&absorbed.id, absorbed.revision);
        pb::UnmergeCustomersResponse {
            merge: Some((&merge).into()),
            survivor: Some((&survivor).into()),
            absorbed: Some((&absorbed).into()),
            consistency_token: if dry_run { String::new() } else { token },
        }
    });
    conclude(mutation, answer, dry_run).await
}

pub async fn get(state: &State, merge_id: &str) -> Result<Response<pb::GetMergeResponse>, Status> {
    let mut db = state.platform.snapshot().await?;
    let merge = merges::get(&mut db, merge_id).await?;
    Ok(Response::new(pb::GetMergeResponse {
        merge: Some((&merge).into()),
    }))
}

pub async fn list(
    state: &State,
    customer_id: Option<&CustomerId>,
    page: &PageRequest,
) -> Result<Response<pb::ListMergesResponse>, Status> {
    let mut db = state.platform.snapshot().await?;
    let listed = merges::list(&mut db, customer_id, page).await?;
    Ok(Response::new(listed))
}

/// The id of a merge, as a caller sends it.
pub fn id(merge_id: &str) -> Result<String, Error> {
    let mut v = Violations::new();
    let merge_id = v.check("merge_id", trimmed(merge_id, MERGE_ID_CHARS_MAX));
    let (merge_id,) = v.all((merge_id,))?;
    Ok(merge_id)
}

/// Which merges are listed.
pub fn list_of(
    request: &pb::ListMergesRequest,
) -> Result<(Option<CustomerId>, PageRequest), Error> {
    let mut v = Violations::new();
    let customer_id = match request.customer_id.as_str() {
        "" => None,
        id => v.parse("customer_id", id, CustomerId::parse),
    };
    let query = format!("ListMerges|{}", request.customer_id);
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    let (page,) = v.all((page,))?;
    Ok((customer_id, page))
}

impl TryFrom<pb::MergeCustomersRequest> for MergeCustomers {
    type Error = Error;

    fn try_from(request: pb::MergeCustomersRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let survivor = request.survivor_id.as_str();
        let survivor = v.parse("survivor_id", survivor, CustomerId::parse);
        let absorbed = request.absorbed_id.as_str();
        let absorbed = v.parse("absorbed_id", absorbed, CustomerId::parse);
        if survivor.is_some() && survivor == absorbed {
            v.add("absorbed_id", "must be another customer than survivor_id");
        }
        let reason = v.check("reason", trimmed(&request.reason, REASON_CHARS_MAX));
        let (survivor, absorbed, reason) = v.all((survivor, absorbed, reason))?;
        Ok(Self {
            survivor,
            survivor_etag: request.survivor_etag,
            absorbed,
            absorbed_etag: request.absorbed_etag,
            actor: identity::current().subject.to_string(),
            reason,
        })
    }
}

impl TryFrom<pb::UnmergeCustomersRequest> for UnmergeCustomers {
    type Error = Error;

    fn try_from(request: pb::UnmergeCustomersRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let merge_id = v.check("merge_id", trimmed(&request.merge_id, MERGE_ID_CHARS_MAX));
        let reason = v.check("reason", trimmed(&request.reason, REASON_CHARS_MAX));
        let (merge_id, reason) = v.all((merge_id, reason))?;
        Ok(Self {
            merge_id,
            actor: identity::current().subject.to_string(),
            reason,
        })
    }
}

/// A dry run uses up no request id.
fn used(request_id: &str, dry_run: bool) -> &str {
    if dry_run { "" } else { request_id }
}

/// Commits the outcome and answers with it; undoes that of a dry run.
async fn conclude<T: Message>(
    mutation: Mutation,
    outcome: Result<T, Error>,
    dry_run: bool,
) -> Result<Response<T>, Status> {
    if dry_run {
        drop(mutation);
        return Ok(Response::new(outcome?));
    }
    mutation.finish(outcome).await
}
