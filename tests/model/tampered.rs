//! The checker itself: it passes a right history and finds what was done to a wrong one.

mod background;
mod bases;
mod batches;
mod extensions;
mod forecasts;
mod imports;
mod limits;
mod lines;
mod merges;
mod passing;
mod pending;
mod periods;
mod persons;
mod policies;
mod purchases;
mod recalculation;
mod statements;
mod sweeps;
mod tiers;
mod timeouts;

use std::collections::BTreeMap;
use std::rc::Rc;

use api::loyalty::v1 as pb;
use common::ids::CustomerId;
use common::token::{ConsistencyToken, SharedToken};
use tonic::Code;

use crate::answers::Refusal;
use crate::check::check;
use crate::history::{Event, Window};
use crate::model::{Around, Currency, Customer, Policies, World, apply};
use crate::operations::batches::response;
use crate::operations::{Request, Response, Told};

const ALICE: &str = "alice";
const BOB: &str = "bob";

fn nobody() -> World {
    let currency = Currency {
        code: "PTS".to_owned(),
        validity: None,
    };
    let programs = Rc::new(BTreeMap::from([("default".to_owned(), vec![currency])]));
    let customer = |customer_id: &str| {
        let accounts = World::enrolled(&programs, "default", (customer_id, 0));
        let members = BTreeMap::from([("default".to_owned(), accounts)]);
        (
            customer_id.to_owned(),
            Customer {
                members,
                ..Customer::default()
            },
        )
    };
    let customers = [ALICE, BOB].map(customer);
    World {
        customers: BTreeMap::from(customers),
        programs,
        around: Around::default(),
        policies: Policies::default(),
    }
}

fn earn(points: i64) -> Request {
    Request::Earn(pb::EarnPointsRequest {
        customer_id: ALICE.to_owned(),
        points,
        source_type: "promotion".to_owned(),
        source_ref: points.to_string(),
        ..Default::default()
    })
}

fn redeem(points: i64) -> Request {
    Request::Redeem(pb::RedeemPointsRequest {
        customer_id: ALICE.to_owned(),
        points,
        ..Default::default()
    })
}

fn hold(points: i64) -> Request {
    Request::Authorize(pb::AuthorizeHoldRequest {
        customer_id: ALICE.to_owned(),
        points,
        ..Default::default()
    })
}

fn balance() -> Request {
    Request::Balance(pb::GetBalanceRequest {
        customer_id: ALICE.to_owned(),
        ..Default::default()
    })
}

fn postings() -> Request {
    Request::Transactions(pb::ListTransactionsRequest {
        customer_id: ALICE.to_owned(),
        ..Default::default()
    })
}

/// What a service without fault would have answered, one request after the other.
fn history(requests: &[Request]) -> Vec<Event> {
    let mut world = nobody();
    let mut events = Vec::new();
    for (n, request) in (1_i64..).zip(requests) {
        let told = Told {
            transaction_id: format!("posting {n}"),
            revision: n,
            hold_id: format!("hold {n}"),
            lot_ids: vec![format!("lot {n}")],
            settled: vec![(format!("posting {n}"), n)],
            extended: vec![n],
            items: items(n),
            merge_id: format!("merge {n}"),
            moved: moved(n),
            ..Told::default()
        };
        let mut after = world.clone();
        let mut answer = apply(&mut after, request, &told, n);
        if let (Ok(response), true) = (&mut answer, request.has_effect()) {
            set_revision(response, n);
            world = after;
        }
        let tick = u64::try_from(n).unwrap() * 2;
        events.push(Event {
            request: request.clone(),
            answer,
            started: tick,
            ended: tick + 1,
            window: Window::Shown(vec![n]),
        });
    }
    events
}

/// What the lots are called that come from the lots of earlier requests.
fn moved(n: i64) -> Vec<pb::MovedLot> {
    let lot = |from: i64| pb::MovedLot {
        from_lot_id: format!("lot {from}"),
        lot_id: format!("lot {n} from {from}"),
        transaction_id: format!("posting {n}"),
        ..Default::default()
    };
    (1..n).map(lot).collect()
}

/// What is told of the items of a batch.
fn items(n: i64) -> Vec<Told> {
    let item = |item: i64| Told {
        transaction_id: format!("posting {n}.{item}"),
        revision: n,
        lot_ids: vec![format!("lot {n}.{item}")],
        ..Told::default()
    };
    (1..=3).map(item).collect()
}

fn set_revision(response: &mut Response, revision: i64) {
    let limit = match response {
        Response::SetLimit(it) => it.limit.clone(),
        Response::EndLimit(it) => it.limit.clone(),
        _ => None,
    };
    if let Some(limit) = limit {
        let token = SharedToken {
            source: "loyalty".to_owned(),
            subject: "limits/default".to_owned(),
            revision: limit.version,
        };
        *response.tokens()[0] = token.encode();
        return;
    }
    if let Response::Publish(it) = response {
        let token = SharedToken {
            source: "loyalty".to_owned(),
            subject: "policy/default".to_owned(),
            revision: it.policy.as_ref().map_or(0, |policy| policy.version),
        };
        it.consistency_token = token.encode();
        return;
    }
    let posting = response.postings().into_iter().next();
    let whose = posting.map_or(ALICE.to_owned(), |posting| posting.customer_id.clone());
    let token = |whose: &str| ConsistencyToken {
        source: "loyalty".to_owned(),
        customer_id: CustomerId::parse(whose).unwrap(),
        revision,
    };
    let of_both = matches!(
        response,
        Response::MergeMembers(_) | Response::UnmergeMembers(_)
    );
    let received = response.steps();
    // Who is asked, and then come those who received something.
    let asked = match response {
        Response::Capture(_) | Response::Void(_) => whose.as_str(),
        Response::Sweep(told) => told.member().map_or(ALICE, |it| it.customer_id.as_str()),
        _ => ALICE,
    }
    .to_owned();
    let mut all = vec![asked];
    all.extend(received.iter().map(|it| it.to_customer_id.clone()));
    if let Response::Batch(told) = response {
        all = told.results.iter().flat_map(told_of_item).collect();
    }
    for (n, place) in response.tokens().into_iter().enumerate() {
        let whose = match n {
            _ if of_both => [ALICE, BOB][n],
            _ if all.len() > 1 => &all[n],
            _ => &whose,
        };
        *place = token(whose).encode();
    }
    if let (_, Some(change)) = response.tiers() {
        change.revision = revision;
    }
}

/// Whom the tokens of an item are about: who asked, and whoever received something.
fn told_of_item(result: &pb::BatchPostResult) -> Vec<String> {
    let response = response(result);
    let steps = response.iter().flat_map(Response::steps);
    let asked = response.iter().map(|_| ALICE.to_owned());
    asked.chain(steps.map(|it| it.to_customer_id)).collect()
}

fn usual() -> Vec<Event> {
    history(&[
        earn(100),
        redeem(30),
        balance(),
        hold(50),
        redeem(30),
        redeem(20),
        balance(),
        postings(),
    ])
}

#[test]
fn a_right_history_passes() {
    let compared = check(nobody(), &usual()).unwrap();
    let counts = (compared.changes, compared.refusals, compared.reads);
    assert_eq!(counts, (4, 1, 3), "{compared:#?}");
}

#[test]
fn a_doubled_balance_is_found() {
    let mut events = usual();
    let Ok(Response::Earn(earned)) = &mut events[0].answer else {
        panic!("{:#?}", events[0]);
    };
    earned.balance.as_mut().unwrap().available *= 2;
    let found = check(nobody(), &events).unwrap_err();
    assert!(
        found.contains("available: 200") && found.contains("available: 100"),
        "{found}"
    );
}

#[test]
fn held_points_that_were_spent_are_found() {
    let mut events = usual();
    // There were 20 to spend: the other 50 were held.
    let mut world = nobody();
    let told = |events: &[Event], n: usize| events[n].answer.as_ref().unwrap().told();
    for n in 0..2 {
        let now = i64::try_from(n).unwrap() + 1;
        apply(&mut world, &events[n].request, &told(&events, n), now).unwrap();
    }
    let spent = Told {
        transaction_id: "posting 5".to_owned(),
        revision: 5,
        ..Told::default()
    };
    let mut response = apply(&mut world, &redeem(30), &spent, 5).unwrap();
    set_revision(&mut response, 5);
    events[4].answer = Ok(response);
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("INSUFFICIENT_POINTS"), "{found}");
}

#[test]
fn an_effect_that_happened_twice_is_found_by_the_next_read() {
    let once = [earn(100), redeem(30), balance()];
    let twice = history(&[earn(100), redeem(30), redeem(30), balance()]);
    let mut events = history(&once);
    let Ok(Response::Balance(told)) = &mut events[2].answer else {
        panic!("{:#?}", events[2]);
    };
    let Ok(Response::Balance(read)) = &twice[3].answer else {
        panic!("{:#?}", twice[3]);
    };
    let as_of = told.balance.as_ref().unwrap().as_of;
    *told = read.clone();
    told.balance.as_mut().unwrap().as_of = as_of;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("available: 40"), "{found}");
}

#[test]
fn a_refusal_without_cause_is_found() {
    let mut events = usual();
    let refusal = Refusal::new(Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    events[5].answer = Err(refusal.with("available", 19));
    assert!(check(nobody(), &events).is_err());
    // The right words do not help if it was not so at any time between its start and its end.
    let mut events = usual();
    let refusal = Refusal::new(Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    events[2].request = redeem(30);
    events[2].answer = Err(refusal.with("available", 20));
    assert!(check(nobody(), &events).is_err());
    // It was so while the hold was on its way.
    events[2].ended = events[3].ended;
    check(nobody(), &events).unwrap();
}

#[test]
fn a_stale_read_is_found() {
    let mut events = usual();
    // What was read before the hold, told after it.
    events[6].answer = events[2].answer.clone();
    let Ok(Response::Balance(told)) = &mut events[6].answer else {
        panic!("{:#?}", events[6]);
    };
    told.balance.as_mut().unwrap().as_of = Some(crate::answers::stamp(7));
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn revisions_against_the_order_of_calls_are_found() {
    let mut events = usual();
    for (n, revision) in [(1, 4), (3, 2)] {
        let Ok(response) = &mut events[n].answer else {
            panic!("{:#?}", events[n]);
        };
        set_revision(response, revision);
        response.postings()[0].revision = revision;
    }
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("higher revision"), "{found}");
}

#[test]
fn a_source_that_earned_twice_is_found() {
    let events = history(&[earn(100), earn(100)]);
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("a source earned twice"), "{found}");
}

#[test]
fn a_posting_that_nobody_asked_for_is_found() {
    let mut events = usual();
    let Ok(Response::Transactions(page)) = &mut events[7].answer else {
        panic!("{:#?}", events[7]);
    };
    let again = page.transactions[0].clone();
    page.transactions.insert(0, again);
    assert!(check(nobody(), &events).is_err());
}
