//! Batches: requests and answers of several operations in one.

use api::loyalty::v1 as pb;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;

use super::{Request, Response, Told, passing};
use crate::answers::Refusal;
use crate::model::program;

/// The items as if each were a call of its own.
pub fn requests(batch: &pb::BatchPostRequest) -> Vec<Request> {
    let request = |item: &pb::BatchPostItem| match item.item.clone().expect("always given") {
        Item::Earn(it) => Request::Earn(it),
        Item::Redeem(it) => Request::Redeem(it),
        Item::Adjust(it) => Request::Adjust(it),
        Item::Transfer(it) => Request::Transfer(it),
        Item::Reverse(it) => Request::Reverse(it),
    };
    batch.items.iter().map(request).collect()
}

/// What those answer that were posted.
pub fn responses(batch: &pb::BatchPostResponse) -> Vec<Response> {
    batch.results.iter().filter_map(response).collect()
}

/// What an item answers, if it was posted.
pub fn response(result: &pb::BatchPostResult) -> Option<Response> {
    match result.outcome.clone()? {
        Outcome::Earn(it) => Some(Response::Earn(it)),
        Outcome::Redeem(it) => Some(Response::Redeem(it)),
        Outcome::Adjust(it) => Some(Response::Adjust(it)),
        Outcome::Transfer(it) => Some(Response::Transfer(it)),
        Outcome::Reverse(it) => Some(Response::Reverse(it)),
        Outcome::Refusal(_) => None,
    }
}

/// What the answer says of an item.
pub fn outcome(response: Response) -> Outcome {
    match response {
        Response::Earn(it) => Outcome::Earn(it),
        Response::Redeem(it) => Outcome::Redeem(it),
        Response::Adjust(it) => Outcome::Adjust(it),
        Response::Transfer(it) => Outcome::Transfer(it),
        Response::Reverse(it) => Outcome::Reverse(it),
        other => unreachable!("no item of a batch: {other:?}"),
    }
}

/// Why an item is refused, if it is.
pub fn refusal(result: &pb::BatchPostResult) -> Option<&pb::BatchPostRefusal> {
    match result.outcome.as_ref()? {
        Outcome::Refusal(refusal) => Some(refusal),
        _ => None,
    }
}

/// The same, to be made comparable.
pub fn refusal_mut(result: &mut pb::BatchPostResult) -> Option<&mut pb::BatchPostRefusal> {
    match result.outcome.as_mut()? {
        Outcome::Refusal(refusal) => Some(refusal),
        _ => None,
    }
}

/// Each customer once, the one whose items they are first.
pub(super) fn customers(batch: &pb::BatchPostRequest) -> Vec<&str> {
    let mut customers: Vec<&str> = Vec::new();
    for item in &batch.items {
        let of = match item.item.as_ref().expect("always given") {
            Item::Earn(it) => vec![&it.customer_id],
            Item::Redeem(it) => vec![&it.customer_id],
            Item::Adjust(it) => vec![&it.customer_id],
            Item::Transfer(it) => vec![&it.customer_id, &it.to_customer_id],
            Item::Reverse(it) => vec![&it.customer_id],
        };
        for customer_id in of {
            if !customers.contains(&customer_id.as_str()) {
                customers.push(customer_id);
            }
        }
    }
    customers
}

/// The programs that items earn in.
pub(super) fn earns_in(batch: &pb::BatchPostRequest) -> Vec<&str> {
    let mut programs = Vec::new();
    for item in &batch.items {
        if let Some(Item::Earn(it)) = &item.item {
            programs.push(program(&it.program_id));
        }
    }
    programs
}

/// The reason of the first item.
pub(super) fn reason(batch: &mut pb::BatchPostRequest) -> Option<&mut String> {
    Some(match batch.items.first_mut()?.item.as_mut()? {
        Item::Earn(it) => &mut it.reason,
        Item::Redeem(it) => &mut it.reason,
        Item::Adjust(it) => &mut it.reason,
        Item::Transfer(it) => &mut it.reason,
        Item::Reverse(it) => &mut it.reason,
    })
}

/// What the ids begin with of what an item made and the batch undid.
const UNDONE: &str = "~ of item ";

/// Whether it is the id of what an item made and the batch undid.
pub fn is_of_item_undone(id: &str) -> bool {
    id.starts_with(UNDONE)
}

/// What only the service knows of the nth item.
pub(super) fn told(n: usize, result: &pb::BatchPostResult) -> Told {
    if let Some(response) = response(result) {
        return response.told();
    }
    let refusal = refusal(result).expect("an item is posted or refused");
    // Whatever comes after it in a linked batch finds what it would have made.
    let name = format!("{UNDONE}{n}");
    Told {
        transaction_id: name.clone(),
        received: (format!("{name}, received"), 0),
        nameless: name,
        already_posted: (refusal.reason == "SOURCE_ALREADY_POSTED")
            .then(|| refusal.metadata.get("transaction_id").cloned())
            .flatten(),
        limits: Some(left_by_limits(refusal)),
        ..Told::default()
    }
}

/// What limits left of an item that is refused: all of it, unless they are why.
fn left_by_limits(refusal: &pb::BatchPostRefusal) -> Result<Vec<pb::LimitCut>, Refusal> {
    if refusal.reason != "LIMIT_REACHED" {
        return Ok(Vec::new());
    }
    Err(Refusal {
        metadata: refusal.metadata.clone().into_iter().collect(),
        ..Refusal::new(refusal.code.into(), &refusal.reason)
    })
}

pub(super) fn tokens(result: &mut pb::BatchPostResult) -> Vec<&mut String> {
    match result.outcome.as_mut() {
        Some(Outcome::Earn(it)) => vec![&mut it.consistency_token],
        Some(Outcome::Redeem(it)) => vec![&mut it.consistency_token],
        Some(Outcome::Adjust(it)) => vec![&mut it.consistency_token],
        Some(Outcome::Transfer(it)) => vec![
            &mut it.consistency_token,
            &mut it.recipient_consistency_token,
        ],
        Some(Outcome::Reverse(it)) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
        Some(Outcome::Refusal(_)) | None => Vec::new(),
    }
}

/// What went from one member to another by an item.
pub(super) fn passed_on(result: &mut pb::BatchPostResult) -> Option<&mut Vec<pb::PassedOn>> {
    match result.outcome.as_mut()? {
        Outcome::Reverse(it) => Some(&mut it.passed_on),
        _ => None,
    }
}

pub(super) fn words(result: &mut pb::BatchPostResult) -> Option<&mut String> {
    refusal_mut(result).map(|it| &mut it.message)
}

pub(super) fn postings(result: &mut pb::BatchPostResult) -> Vec<&mut pb::LedgerTransaction> {
    match result.outcome.as_mut() {
        Some(Outcome::Earn(it)) => it.transaction.iter_mut().collect(),
        Some(Outcome::Redeem(it)) => it.transaction.iter_mut().collect(),
        Some(Outcome::Adjust(it)) => it.transaction.iter_mut().collect(),
        Some(Outcome::Transfer(it)) => it.transaction.iter_mut().chain(&mut it.received).collect(),
        Some(Outcome::Reverse(it)) => it.transaction.iter_mut().collect(),
        Some(Outcome::Refusal(_)) | None => Vec::new(),
    }
}
