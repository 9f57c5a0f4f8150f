//! Postings and lots, page by page: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::validate::Violations;
use tonic::Response;

use super::parse::RawPage;
use super::{Answer, parse, present, raw_of};
use crate::State;
use crate::domain::lots::Lot;
use crate::ledger::reads;
use crate::store::postings::PostingRow;

pub async fn transactions(
    state: &State,
    request: pb::ListTransactionsRequest,
) -> Answer<pb::ListTransactionsResponse> {
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let (size, token) = (request.page_size, request.page_token.as_str());
    let page = RawPage {
        size,
        token,
        list: "ListTransactions",
    };
    let (of, page) = parse::member_page(&raw, &page)?;
    state.platform.at_least(&of.at_least).await?;
    let told = reads::transactions(state, &of, &page).await?;
    let transaction = |(row, entries): &(PostingRow, Vec<_>)| {
        present::transaction(row, entries, told.program.code_of(&row.wallet))
    };
    Ok(Response::new(pb::ListTransactionsResponse {
        transactions: told.items.iter().map(transaction).collect(),
        next_page_token: told.next_token,
    }))
}

pub async fn lots(state: &State, request: pb::ListLotsRequest) -> Answer<pb::ListLotsResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let of = parse::of(&mut v, &raw);
    let (size, token) = (request.page_size, request.page_token.as_str());
    let page = parse::page_of(
        &mut v,
        &raw,
        &RawPage {
            size,
            token,
            list: "ListLots",
        },
    );
    let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
    let (of, page) = v.all((of, page))?;
    state.platform.at_least(&of.at_least).await?;
    let told = reads::lots(state, &of, &page).await?;
    let as_of = as_of.unwrap_or_else(|| state.platform.now());
    let lot = |(lot, posting_id): &(Lot, String)| {
        let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
        present::lot(
            lot,
            &present::LotOf {
                program_id,
                customer_id,
                currency: told.program.code_of(&lot.wallet),
                posting_id,
                as_of,
            },
        )
    };
    Ok(Response::new(pb::ListLotsResponse {
        lots: told.items.iter().map(lot).collect(),
        next_page_token: told.next_token,
    }))
}
