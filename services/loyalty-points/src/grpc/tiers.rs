//! Tiers and how they changed: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::server::NotAtHand;
use tonic::Response;

use super::parse::RawPage;
use super::{Answer, parse, present, raw_of};
use crate::State;
use crate::ledger::reads as ledger;
use crate::tiers::reads::{self, Wanted, WantedMany};

/// `looked` is what was found of it before, by a lookup on the same way.
pub async fn get(
    state: &State,
    request: pb::GetTierRequest,
    looked: Option<NotAtHand>,
) -> Answer<pb::GetTierResponse> {
    let wanted = Wanted::try_from(request)?;
    state.platform.at_least(&wanted.at_least).await?;
    let (program, standing) = reads::get(state, &wanted, looked).await?;
    let tier = Some(present::tier(&program, &wanted.customer_id, standing));
    Ok(Response::new(pb::GetTierResponse { tier }))
}

pub async fn batch_get(
    state: &State,
    request: pb::BatchGetTiersRequest,
) -> Answer<pb::BatchGetTiersResponse> {
    let wanted = WantedMany::try_from(request)?;
    state.platform.at_least(&wanted.at_least).await?;
    let (program, standings) = reads::get_many(state, &wanted).await?;
    let mut response = pb::BatchGetTiersResponse::default();
    for (customer_id, standing) in wanted.customer_ids.iter().zip(standings) {
        match standing {
            Some(standing) => {
                response
                    .tiers
                    .push(present::tier(&program, customer_id, standing));
            }
            None => response.missing_customer_ids.push(customer_id.to_string()),
        }
    }
    Ok(Response::new(response))
}

pub async fn history(
    state: &State,
    request: pb::ListTierHistoryRequest,
) -> Answer<pb::ListTierHistoryResponse> {
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let (size, token) = (request.page_size, request.page_token.as_str());
    let page = RawPage {
        size,
        token,
        list: "ListTierHistory",
    };
    let (of, page) = parse::member_page(&raw, &page)?;
    state.platform.at_least(&of.at_least).await?;
    let (rows, next_page_token) = ledger::tier_history(state, &of, &page).await?;
    let changes = rows.iter().map(present::tier_change).collect();
    Ok(Response::new(pb::ListTierHistoryResponse {
        changes,
        next_page_token,
    }))
}
