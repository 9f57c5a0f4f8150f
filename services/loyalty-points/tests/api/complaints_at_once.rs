//! What users of other ledgers complain about, one test each: many callers at once, stale reads, repeated requests.

use api::feed::v1::ReadChangesRequest;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::loyalty::v1 as pb;
use common::mutation::REPLAYED;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use pb::loyalty_service_client::LoyaltyServiceClient;
use prost::{Message, Name};
use rstest::rstest;
use testkit::{Backend, assert_refused, time};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::shop::{Shop, authorize, earn, redeem};

/// Points of the member whom all of them are after.
const POINTS: i64 = 100;

/// A service with `c1`, who has some points, and so many others.
async fn crowd(backend: Backend, others: usize) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    for n in 0..others {
        shop.created(&format!("other-{n}")).await;
    }
    shop.caught_up().await;
    shop.earn("c1", POINTS, "s1").await;
    shop
}

fn give(n: usize, points: i64) -> pb::TransferPointsRequest {
    pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: format!("other-{n}"),
        points,
        ..Default::default()
    }
}

async fn balance(shop: &mut Shop) -> pb::Balance {
    let request = pb::GetBalanceRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let read = shop.client.get_balance(request).await.unwrap();
    read.into_inner().balance.unwrap()
}

/// Complaint 3 (fushengqian/fuint#71): 20 gifts at once made 2,000 points of 100.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn twenty_gifts_at_once_make_no_points(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 20).await;
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let mut client = shop.client.clone();
        calls.spawn(async move { client.transfer_points(give(n, POINTS)).await });
    }
    let outcomes = calls.join_all().await;
    let (given, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(given.len(), 1);
    for refused in refused {
        assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    }
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert_eq!(shop.summary().await.points_outstanding, POINTS);
}

/// Complaint 9 (`envato/double_entry#114`, #168): a balance that may not become negative does, under load.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_spends_at_once_never_spends_more_than_there_is(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 1).await;
    let mut calls = JoinSet::new();
    for n in 0..40 {
        let mut client = shop.client.clone();
        let adjust = pb::AdjustPointsRequest {
            customer_id: "c1".to_owned(),
            points: -7,
            reason_code: "CORRECTION".to_owned(),
            ..Default::default()
        };
        calls.spawn(async move {
            match n % 4 {
                0 => client.redeem_points(redeem("c1", 7)).await.map(drop),
                1 => client
                    .authorize_hold(authorize("c1", 7, 3600))
                    .await
                    .map(drop),
                2 => client.transfer_points(give(0, 7)).await.map(drop),
                _ => client.adjust_points(adjust).await.map(drop),
            }
        });
    }
    let outcomes = calls.join_all().await;
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(done, 14, "7 points each, of {POINTS}");
    assert_eq!(balance(&mut shop).await.available, 2);
    let postings = shop.transactions("c1").await;
    let entries = postings.iter().flat_map(|posting| &posting.entries);
    let left = entries.filter(|entry| entry.account() == pb::LedgerAccount::Member);
    assert_eq!(left.map(|entry| entry.points).sum::<i64>(), 2);
}

/// Complaint 10 (flash-oss/medici#38, #119): who reads after a write is told what was before it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_write_sees_it_on_every_replica(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 0).await;
    let replica = shop.server.replica().await;
    let mut other = LoyaltyServiceClient::new(replica.channel());
    for left in (0..POINTS).rev().step_by(5) {
        let points = balance(&mut shop).await.available - left;
        let spent = shop.redeem("c1", points).await.unwrap();
        let request = pb::GetBalanceRequest {
            customer_id: "c1".to_owned(),
            at_least: spent.consistency_token,
            ..Default::default()
        };
        let read = other.get_balance(request).await.unwrap().into_inner();
        assert_eq!(read.balance, spent.balance);
        assert_eq!(read.balance.unwrap().available, left);
    }
}

/// Complaint 11 (tigerbeetle#2118, #2693): reservations that have expired are still shown, and no read tells
/// balance and reservations of one moment.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_balance_and_what_is_held_are_of_one_moment_and_never_of_a_past_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 0).await;
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let mut client = shop.client.clone();
        calls.spawn(async move {
            if n % 2 == 0 {
                client
                    .authorize_hold(authorize("c1", 9, 3600))
                    .await
                    .map(|_| 0)
            } else {
                let request = pb::GetBalanceRequest {
                    customer_id: "c1".to_owned(),
                    ..Default::default()
                };
                let read = client.get_balance(request).await?.into_inner();
                let balance = read.balance.unwrap();
                Ok(balance.available + balance.held)
            }
        });
    }
    for outcome in calls.join_all().await {
        let sum = outcome.unwrap();
        assert!(sum == 0 || sum == POINTS, "{sum}");
    }
    assert_eq!(balance(&mut shop).await.held, 90);
    shop.server.clock.set(time("1998-07-01T01:00:00Z"));
    let now = balance(&mut shop).await;
    assert_eq!((now.available, now.held), (POINTS, 0));
    let request = pb::ListHoldsRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let holds = shop
        .client
        .list_holds(request)
        .await
        .unwrap()
        .into_inner()
        .holds;
    assert!(
        holds
            .iter()
            .all(|hold| hold.state() == pb::HoldState::Expired && hold.held == 0)
    );
}

/// Complaint 12 (tigerbeetle#3382): of what belongs together, a part is applied. A transfer is two postings, a
/// final capture too, and a linked batch any number: all are there, or none.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_together_happens_whole_or_not_at_all(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 1).await;
    shop.deleted("other-0").await;
    shop.caught_up().await;
    let to_nobody = shop.client.transfer_points(give(0, 30)).await;
    assert_refused(to_nobody, Code::FailedPrecondition, "MEMBER_CLOSED");
    assert_eq!(shop.balance("c1").await, (POINTS, 0, 0));

    let item = |points| pb::BatchPostItem {
        item: Some(Item::Redeem(redeem("c1", points))),
    };
    let linked = pb::BatchPostRequest {
        mode: pb::BatchMode::Linked.into(),
        items: vec![item(30), item(POINTS), item(30)],
        ..Default::default()
    };
    let told = shop.client.batch_post(linked).await.unwrap().into_inner();
    let reasons = told.results.into_iter().map(|result| match result.outcome {
        Some(Outcome::Refusal(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    });
    let expected = [
        "LINKED_ITEM_FAILED",
        "INSUFFICIENT_POINTS",
        "LINKED_ITEM_FAILED",
    ];
    assert_eq!(
        (told.posted, reasons.collect::<Vec<_>>()),
        (0, expected.map(str::to_owned).to_vec())
    );
    assert_eq!(shop.balance("c1").await, (POINTS, 0, 0));

    let held = shop
        .client
        .authorize_hold(authorize("c1", 60, 3600))
        .await
        .unwrap();
    let capture = |points| pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: held.get_ref().hold.as_ref().unwrap().hold_id.clone(),
        points,
        r#final: true,
        ..Default::default()
    };
    let too_much = shop.client.capture_hold(capture(61)).await;
    assert_refused(too_much, Code::FailedPrecondition, "HOLD_EXCEEDED");
    assert_eq!(balance(&mut shop).await.held, 60);
    shop.client.capture_hold(capture(20)).await.unwrap();
    let after = balance(&mut shop).await;
    assert_eq!((after.available, after.held), (80, 0));
}

/// Complaint 13 (LerianStudio/midaz#1974, formancehq/ledger#1601): a repeated request has another effect, or is
/// answered with an internal error.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_times_the_same_request_have_one_effect_and_equal_answers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 0).await;
    let request = pb::RedeemPointsRequest {
        request_id: "one-and-the-same".to_owned(),
        ..redeem("c1", 10)
    };
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let (mut client, request) = (shop.client.clone(), request.clone());
        calls.spawn(async move { client.redeem_points(request).await });
    }
    let answers: Result<Vec<_>, Status> = calls.join_all().await.into_iter().collect();
    let answers = answers.unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| answer.get_ref() == answers[0].get_ref())
    );
    let replayed = answers
        .iter()
        .filter(|answer| answer.metadata().contains_key(REPLAYED));
    assert_eq!(replayed.count(), 63);
    assert_eq!(shop.balance("c1").await, (90, 0, 0));

    let other = pb::RedeemPointsRequest {
        points: 11,
        ..request
    };
    let refused = shop.client.redeem_points(other).await;
    let details = assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(details.error_info().unwrap().metadata["fields"], "points");
    assert_eq!(shop.balance("c1").await, (90, 0, 0));
}

/// Complaint 14 (vendure#4660, litemall#581, shopper#510): of 64 requests at once, nine claimed what there is one of.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_claims_to_one_source_one_succeeds_whoever_claims(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 8).await;
    let mut calls = JoinSet::new();
    for n in 0..64 {
        let mut client = shop.client.clone();
        let claim = earn(&format!("other-{}", n % 8), 25, "the only one");
        calls.spawn(async move { client.earn_points(claim).await });
    }
    let outcomes = calls.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    let posted = done.into_iter().next().unwrap().unwrap().into_inner();
    let posted = posted.transaction.unwrap().transaction_id;
    for refused in refused {
        let details = assert_refused(refused, Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
        assert_eq!(
            details.error_info().unwrap().metadata["transaction_id"],
            posted
        );
    }
    assert_eq!(shop.summary().await.points_outstanding, POINTS + 25);
}

/// Also asked for (tigerbeetle#2046): a stream of what is posted. Each posting is in the feed once, in its order.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_posting_is_streamed_once_in_the_order_of_revisions(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = crowd(backend, 0).await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let mut client = shop.client.clone();
        calls.spawn(async move { client.redeem_points(redeem("c1", 5)).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let mut postings = shop.transactions("c1").await;
    postings.reverse();

    let mut feed = ChangeFeedServiceClient::new(shop.server.channel());
    let mut streamed = Vec::new();
    while streamed.len() < postings.len() {
        let request = ReadChangesRequest {
            source: "loyalty".to_owned(),
            ..Default::default()
        };
        let events = feed
            .read_changes(request)
            .await
            .unwrap()
            .into_inner()
            .events;
        let payloads = events.into_iter().filter_map(|event| event.payload);
        let posted = payloads.filter(|any| any.type_url == pb::PointsPosted::type_url());
        let posted = posted.map(|any| pb::PointsPosted::decode(any.value.as_slice()).unwrap());
        streamed = posted.map(|posted| posted.transaction.unwrap()).collect();
    }
    assert_eq!(streamed, postings);
}
