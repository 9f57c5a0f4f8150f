//! Batches: each item for itself, or all or none.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use rstest::rstest;
use testkit::{Backend, violations};
use tonic::Code;

use crate::shop::{Shop, authorize, earn, redeem};

async fn shop(backend: Backend) -> Shop {
    let shop = Shop::open(backend).await;
    for customer_id in ["c1", "c2"] {
        shop.created(customer_id).await;
    }
    shop.caught_up().await;
    shop
}

fn batch(mode: pb::BatchMode, items: Vec<Item>) -> pb::BatchPostRequest {
    let item = |item| pb::BatchPostItem { item: Some(item) };
    pb::BatchPostRequest {
        mode: mode.into(),
        items: items.into_iter().map(item).collect(),
        ..Default::default()
    }
}

async fn post(shop: &Shop, request: &pb::BatchPostRequest) -> pb::BatchPostResponse {
    let answer = shop.client.clone().batch_post(request.clone()).await;
    answer.unwrap().into_inner()
}

/// The reason of each item that was refused; empty for one that was posted.
fn reasons(answer: &pb::BatchPostResponse) -> Vec<&str> {
    answer
        .results
        .iter()
        .map(|result| match result.outcome.as_ref().unwrap() {
            Outcome::Refusal(refusal) => refusal.reason.as_str(),
            _ => "",
        })
        .collect()
}

/// Earn 100, spend 30, spend too much, move 20 to another, earn from the same source again.
fn mixed(mode: pb::BatchMode) -> pb::BatchPostRequest {
    let gift = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 20,
        ..Default::default()
    };
    let items = vec![
        Item::Earn(earn("c1", 100, "a")),
        Item::Redeem(redeem("c1", 30)),
        Item::Redeem(redeem("c1", 71)),
        Item::Transfer(gift),
        Item::Earn(earn("c1", 5, "a")),
    ];
    batch(mode, items)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn independent_items_are_posted_or_refused_each_for_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    let answer = post(&shop, &mixed(pb::BatchMode::Independent)).await;
    let expected = ["", "", "INSUFFICIENT_POINTS", "", "SOURCE_ALREADY_POSTED"];
    assert_eq!(reasons(&answer), expected);
    assert_eq!(answer.posted, 3);
    let Some(Outcome::Refusal(refused)) = &answer.results[2].outcome else {
        panic!("{answer:?}");
    };
    assert_eq!(refused.code, i32::from(Code::FailedPrecondition));
    assert_eq!(
        refused.metadata["available"], "70",
        "after the items before it"
    );
    assert_eq!(shop.balance("c1").await, (50, 0, 0));
    assert_eq!(shop.balance("c2").await, (20, 0, 0));
    let Some(Outcome::Redeem(redeemed)) = &answer.results[1].outcome else {
        panic!("{answer:?}");
    };
    assert_eq!(redeemed.balance.as_ref().unwrap().available, 70);
    assert_eq!(redeemed.allocations.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn linked_items_fall_together_and_the_culprit_is_told_apart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    let answer = post(&shop, &mixed(pb::BatchMode::Linked)).await;
    let fell = "LINKED_ITEM_FAILED";
    assert_eq!(
        reasons(&answer),
        [fell, fell, "INSUFFICIENT_POINTS", fell, fell]
    );
    assert_eq!(answer.posted, 0);
    let Some(Outcome::Refusal(other)) = &answer.results[4].outcome else {
        panic!("{answer:?}");
    };
    assert_eq!(other.metadata["culprit"], "2");
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert!(shop.transactions("c1").await.is_empty());

    let mut fine = mixed(pb::BatchMode::Linked);
    fine.items.truncate(2);
    assert_eq!(post(&shop, &fine).await.posted, 2);
    assert_eq!(shop.balance("c1").await, (70, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_an_item_did_beside_the_ledger_is_undone_with_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    // The earning makes the member Gold, which is written at once; then the batch fails.
    let items = vec![
        Item::Earn(earn("c1", 300, "a")),
        Item::Redeem(redeem("c2", 1)),
    ];
    let answer = post(&shop, &batch(pb::BatchMode::Linked, items.clone())).await;
    assert_eq!(
        reasons(&answer),
        ["LINKED_ITEM_FAILED", "INSUFFICIENT_POINTS"]
    );
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    assert_eq!(shop.tier_history("c1").await.len(), 1);
    let answer = post(&shop, &batch(pb::BatchMode::Independent, items)).await;
    assert_eq!(reasons(&answer), ["", "INSUFFICIENT_POINTS"]);
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    assert_eq!(shop.balance("c1").await, (300, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_has_one_effect_and_a_dry_one_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    let mut request = mixed(pb::BatchMode::Independent);
    request.request_id = "nightly-1".to_owned();
    request.dry_run = true;
    let dry = post(&shop, &request).await;
    assert_eq!(dry.posted, 3);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    request.dry_run = false;
    let first = post(&shop, &request).await;
    assert_eq!(post(&shop, &request).await, first);
    assert_eq!(shop.balance("c1").await, (50, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_batch_posts_nothing_and_names_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    let wrong = pb::EarnPointsRequest {
        request_id: "inner".to_owned(),
        dry_run: true,
        ..earn("c1", 0, "")
    };
    let mut request = batch(
        pb::BatchMode::Independent,
        vec![Item::Earn(earn("c1", 5, "a")), Item::Earn(wrong)],
    );
    request.items.push(pb::BatchPostItem::default());
    request.mode = 9;
    let status = shop.client.batch_post(request).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [
            "mode",
            "items[1].earn.request_id",
            "items[1].earn.dry_run",
            "items[1].earn.points",
            "items[1].earn.source_ref",
            "items[2].item",
        ]
    );
    for count in [0, 501] {
        let items = (0..count).map(|number| Item::Earn(earn("c1", 1, &format!("s{number}"))));
        let request = batch(pb::BatchMode::Independent, items.collect());
        let status = shop.client.batch_post(request).await.unwrap_err();
        assert_eq!(violations(&status), ["items"]);
    }
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

/// The refused item lets a hold go that has timed out, which is written at once, and undone with the item.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_batch_is_answered_where_a_refused_item_finds_a_hold_that_timed_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop(backend).await;
    shop.earn("c1", 100, "s1").await;
    let hold = authorize("c1", 60, 60);
    shop.client.authorize_hold(hold).await.unwrap();
    shop.server.clock.advance(TimeDelta::minutes(2));
    for (mode, expected) in [
        (pb::BatchMode::Independent, ["INSUFFICIENT_POINTS", ""]),
        (
            pb::BatchMode::Linked,
            ["INSUFFICIENT_POINTS", "LINKED_ITEM_FAILED"],
        ),
    ] {
        let items = [101, 100].map(|points| Item::Redeem(redeem("c1", points)));
        let request = pb::BatchPostRequest {
            dry_run: true,
            ..batch(mode, items.to_vec())
        };
        assert_eq!(reasons(&post(&shop, &request).await), expected);
    }
    assert_eq!(shop.transactions("c1").await.len(), 2);
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
}

/// Also where what a refused item wrote is undone, and what it met is read anew.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn all_items_of_a_batch_are_of_one_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = shop(backend).await;
    shop.server.clock.tick(1);
    for dry_run in [true, false] {
        let items = vec![
            Item::Earn(earn("c1", 10, "a")),
            Item::Redeem(redeem("c1", 1000)),
            Item::Earn(earn("c1", 10, "b")),
        ];
        let request = pb::BatchPostRequest {
            dry_run,
            ..batch(pb::BatchMode::Independent, items)
        };
        let answer = post(&shop, &request).await;
        assert_eq!(reasons(&answer), ["", "INSUFFICIENT_POINTS", ""]);
        let posted_at = |n: usize| match &answer.results[n].outcome {
            Some(Outcome::Earn(earned)) => earned.transaction.clone().unwrap().posted_at,
            other => panic!("not posted: {other:?}"),
        };
        assert_eq!(posted_at(0), posted_at(2), "dry: {dry_run}");
    }
}
