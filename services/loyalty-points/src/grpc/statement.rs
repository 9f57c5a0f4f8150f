//! Statements: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::time::Timestamp;
use common::validate::Violations;
use tonic::Response;

use super::parse::{self, RawPage};
use super::{Answer, present, raw_of};
use crate::State;
use crate::domain::statement::Standing;
use crate::ledger::statement::{self, FromTo, Movement};

pub async fn get(
    state: &State,
    request: pb::GetStatementRequest,
) -> Answer<pb::GetStatementResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let of = parse::of(&mut v, &raw);
    let period = period(&mut v, &request);
    // A token belongs to one period.
    let list = period.map_or_else(String::new, |FromTo { from, to }| {
        format!("GetStatement|{}|{}", from.micros(), to.micros())
    });
    let page = RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: &list,
    };
    let page = parse::page_of(&mut v, &raw, &page);
    let (of, period, page) = v.all((of, period, page))?;
    state.platform.at_least(&of.at_least).await?;
    let told = statement::statement(state, &of, period, &page).await?;
    let movement =
        |(posting, lines): &Movement| present::transaction(posting, lines, &told.currency);
    Ok(Response::new(pb::GetStatementResponse {
        opening: Some(standing(told.opening, told.pending.0, period.from)),
        movements: told.movements.iter().map(movement).collect(),
        closing: Some(standing(told.closing, told.pending.1, period.to)),
        movement_count: told.count,
        digest: told.digest,
        next_page_token: told.next_page_token,
        points_currency: told.currency.clone(),
    }))
}

fn period(v: &mut Violations, request: &pb::GetStatementRequest) -> Option<FromTo> {
    let mut required = |field: &str, raw: Option<&prost_types::Timestamp>| {
        if raw.is_none() {
            v.add(field, "must be given");
        }
        parse::instant(v, field, raw)
    };
    let from = required("from", request.from.as_ref());
    let to = required("to", request.to.as_ref());
    let (from, to) = (from?, to?);
    if to <= from {
        v.add("to", "must be after from");
        return None;
    }
    Some(FromTo { from, to })
}

fn standing(standing: Standing, pending: i64, at: Timestamp) -> pb::StatementBalance {
    pb::StatementBalance {
        points: standing.points,
        held: standing.held,
        debt: standing.debt,
        at: Some(at.into()),
        pending,
    }
}
