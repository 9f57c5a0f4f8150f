//! Sweeps in the background: nobody is told what they have done, so it is read when all is over.
//!
//! What only time has brought about is posted by a sweep, or by a call in passing; each posts at an instant of its own, and
//! whoever changes anything tells that of its call. So the rest is a sweep's.

use std::collections::{BTreeMap, BTreeSet};

use api::loyalty::v1 as pb;
use common::ids::CustomerId;
use common::token::ConsistencyToken;
use pb::TransactionKind as Kind;

use crate::answers::micros;
use crate::driver;
use crate::history::History;
use crate::operations::{Request, Response, Sweep, Swept};
use crate::service::{CLUB, CLUB_CURRENCIES, Service};

/// A customer, and an instant at which something was done there.
pub type Done = (String, i64);

/// Puts what sweeps in the background have done by now among the changes.
pub async fn note(service: &Service, history: &History, customers: &[String]) {
    let mut postings = Vec::new();
    let [first, further] = CLUB_CURRENCIES;
    for customer_id in customers {
        for (program_id, code) in [("default", ""), (CLUB, first), (CLUB, further)] {
            let request = pb::ListTransactionsRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                points_currency: code.to_owned(),
                page_size: 1000,
                ..Default::default()
            };
            let request = Request::Transactions(request);
            if let Ok(Response::Transactions(page)) = driver::ask(service, history, &request).await
            {
                postings.extend(page.transactions);
            }
        }
    }
    for (sweep, swept, at) in sweeps(&postings, &history.done()) {
        let answer = Ok(Response::Sweep(swept));
        history.note(&Request::Sweep(sweep), &answer, at);
    }
}

/// The sweeps that have made some of the postings, by when calls have changed anything, each with its instant.
pub fn sweeps(
    postings: &[pb::LedgerTransaction],
    calls: &BTreeSet<Done>,
) -> Vec<(Sweep, Swept, i64)> {
    let mut together: BTreeMap<Done, Vec<&pb::LedgerTransaction>> = BTreeMap::new();
    for posting in postings {
        let at = posting.posted_at.as_ref().map(micros);
        let done = (posting.customer_id.clone(), at.expect("always told"));
        together.entry(done).or_default().push(posting);
    }
    let by_time = |(done, postings): &(Done, Vec<&pb::LedgerTransaction>)| {
        !calls.contains(done) && postings.iter().all(|posting| is_by_time(posting))
    };
    let by_sweeps = together.into_iter().filter(by_time);
    let sweeps = by_sweeps.map(|((_, at), postings)| {
        let (sweep, swept) = sweep(&postings, at);
        (sweep, swept, at)
    });
    sweeps.collect()
}

fn is_by_time(posting: &pb::LedgerTransaction) -> bool {
    posting.actor.is_empty() && matches!(posting.kind(), Kind::Release | Kind::Expire)
}

/// That of a member by which these were posted.
fn sweep(postings: &[&pb::LedgerTransaction], at: i64) -> (Sweep, Swept) {
    let (program_id, customer_id) = (&postings[0].program_id, &postings[0].customer_id);
    let of_kind = |kind| {
        postings
            .iter()
            .filter(move |posting| posting.kind() == kind)
    };
    let token = ConsistencyToken {
        source: "loyalty".to_owned(),
        customer_id: CustomerId::parse(customer_id).expect("a customer"),
        revision: postings.iter().map(|it| it.revision).max().unwrap_or(0),
    };
    let member = pb::SweptMember {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        holds_expired: i64::try_from(of_kind(Kind::Release).count()).expect("few"),
        points_expired: of_kind(Kind::Expire).map(|it| it.points.abs()).sum(),
        consistency_token: token.encode(),
        ..Default::default()
    };
    let of = (program_id.clone(), customer_id.clone());
    let swept = Swept {
        messages: vec![pb::SweepExpiryResponse {
            swept: vec![member],
            ..Default::default()
        }],
        posted_at: BTreeMap::from([(of.clone(), at)]),
    };
    let sweep = Sweep {
        asked: pb::SweepExpiryRequest::default(),
        customers: Vec::new(),
        of: Some(of),
        others: Vec::new(),
        is_unasked: true,
    };
    (sweep, swept)
}
