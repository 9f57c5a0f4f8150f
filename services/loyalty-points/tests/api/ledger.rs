//! Earning, spending, reversing, and what can be read of it.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::{Backend, assert_refused, time};
use tonic::Code;

use crate::shop::{Shop, at, earn};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_are_spent_from_the_lot_that_expires_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let late = pb::EarnPointsRequest {
        expires_at: at("1999-06-01T00:00:00Z"),
        ..earn("c1", 30, "late")
    };
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 20, "soon")
    };
    let late = shop.try_earn(late).await.unwrap().lot.unwrap();
    let soon = shop.try_earn(soon).await.unwrap().lot.unwrap();

    let redeemed = shop.redeem("c1", 25).await.unwrap();
    let taken: Vec<_> = redeemed
        .allocations
        .iter()
        .map(|a| (a.lot_id.as_str(), a.points))
        .collect();
    assert_eq!(
        taken,
        [(soon.lot_id.as_str(), 20), (late.lot_id.as_str(), 5)]
    );
    let transaction = redeemed.transaction.unwrap();
    assert_eq!(
        (transaction.kind(), transaction.points),
        (pb::TransactionKind::Redeem, -25)
    );
    assert_eq!(
        transaction
            .entries
            .iter()
            .map(|entry| entry.points)
            .sum::<i64>(),
        0
    );
    assert_eq!(redeemed.balance.unwrap().available, 25);
    assert_eq!(shop.balance("c1").await, (25, 0, 0));
    let lots: Vec<_> = shop
        .lots("c1")
        .await
        .iter()
        .map(|lot| (lot.state(), lot.remaining))
        .collect();
    assert_eq!(
        lots,
        [(pb::LotState::Exhausted, 0), (pb::LotState::Active, 25)]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn lots_activate_and_expire_by_the_clock_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::EarnPointsRequest {
        activates_at: at("1998-07-10T00:00:00Z"),
        expires_at: at("1998-07-20T00:00:00Z"),
        ..earn("c1", 40, "s1")
    };
    shop.try_earn(request).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 40, 0));
    assert_eq!(
        shop.balance_at("c1", Some(time("1998-07-15T00:00:00Z")))
            .await,
        (40, 0, 0)
    );
    assert_refused(
        shop.redeem("c1", 1).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_POINTS",
    );

    shop.server.clock.set(time("1998-07-10T00:00:00Z"));
    assert_eq!(shop.balance("c1").await, (40, 0, 0));
    shop.redeem("c1", 15).await.unwrap();

    shop.server.clock.set(time("1998-07-20T00:00:00Z"));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert_eq!(shop.lots("c1").await[0].state(), pb::LotState::Expired);
    assert_refused(
        shop.redeem("c1", 1).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_POINTS",
    );
    assert_eq!(shop.summary().await.points_outstanding, 0);

    // The next posting writes them off; what anybody can read stays the same.
    shop.earn("c1", 3, "s2").await;
    shop.redeem("c1", 3).await.unwrap();
    let kinds = shop.moves("c1").await;
    assert_eq!(
        kinds,
        [
            (pb::TransactionKind::Redeem, -3),
            (pb::TransactionKind::Expire, -25),
            (pb::TransactionKind::Earn, 3),
            (pb::TransactionKind::Redeem, -15),
            (pb::TransactionKind::Earn, 40),
        ]
    );
    assert_eq!(
        shop.balance_at("c1", Some(time("1998-07-15T00:00:00Z")))
            .await,
        (25, 0, 0)
    );
    assert_eq!(
        shop.balance_at("c1", Some(time("1998-06-15T00:00:00Z")))
            .await,
        (0, 0, 0)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_source_earns_once_for_ever(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    let first = shop.earn("c1", 10, "s1").await.transaction.unwrap();
    for customer in ["c1", "c2"] {
        let again = shop.try_earn(earn(customer, 10, "s1")).await;
        let details = assert_refused(again, Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["transaction_id"], first.transaction_id);
    }
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    assert_eq!(shop.balance("c2").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_has_one_effect_and_equal_answers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::EarnPointsRequest {
        request_id: "r1".to_owned(),
        ..earn("c1", 10, "s1")
    };
    let first = shop.client.earn_points(request.clone()).await.unwrap();
    let second = shop.client.earn_points(request.clone()).await.unwrap();
    assert!(first.metadata().get("asterism-replayed").is_none());
    assert_eq!(second.metadata().get("asterism-replayed").unwrap(), "true");
    assert_eq!(first.into_inner(), second.into_inner());

    let other = pb::EarnPointsRequest {
        points: 11,
        ..request
    };
    let details = assert_refused(
        shop.try_earn(other).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    assert_eq!(details.error_info().unwrap().metadata["fields"], "points");
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_flipped_by_a_retry(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::RedeemPointsRequest {
        request_id: "r1".to_owned(),
        ..crate::shop::redeem("c1", 10)
    };
    let refused = shop.client.redeem_points(request.clone()).await;
    assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    shop.earn("c1", 10, "s1").await;
    let again = shop.client.redeem_points(request).await;
    assert_refused(again, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_earning_is_reversed_once_and_what_was_spent_is_owed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    shop.redeem("c1", 70).await.unwrap();

    let reversed = shop.reverse("c1", &earned.transaction_id).await.unwrap();
    let reversal = reversed.transaction.unwrap();
    assert_eq!((reversed.debt_incurred, reversal.points), (70, -100));
    assert_eq!(reversal.reverses_transaction_id, earned.transaction_id);
    assert_eq!(shop.balance("c1").await, (0, 0, 70));

    let again = shop.reverse("c1", &earned.transaction_id).await;
    let details = assert_refused(again, Code::FailedPrecondition, "ALREADY_REVERSED");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["transaction_id"], reversal.transaction_id);
    let not_an_earning = shop.reverse("c1", &reversal.transaction_id).await;
    assert_refused(not_an_earning, Code::FailedPrecondition, "NOT_REVERSIBLE");
    let missing = shop.reverse("c1", "nothing").await;
    assert_refused(missing, Code::NotFound, "TRANSACTION_NOT_FOUND");

    shop.earn("c1", 50, "s2").await;
    assert_eq!(shop.balance("c1").await, (0, 0, 20));
    assert_eq!(shop.summary().await.points_debt, 20);
    shop.earn("c1", 50, "s3").await;
    assert_eq!(shop.balance("c1").await, (30, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_recovers_spent_points_from_other_lots_before_it_makes_debt(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    shop.redeem("c1", 100).await.unwrap();
    shop.earn("c1", 60, "s2").await;
    let reversed = shop.reverse("c1", &first.transaction_id).await.unwrap();
    let recovered: Vec<_> = reversed.recovered.iter().map(|a| a.points).collect();
    assert_eq!((recovered, reversed.debt_incurred), (vec![60], 40));
    assert_eq!(shop.balance("c1").await, (0, 0, 40));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_redemptions_never_overdraw(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = shop.client.clone();
        calls.spawn(async move { client.redeem_points(crate::shop::redeem("c1", 15)).await });
    }
    let outcomes = calls.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (6, 14));
    for outcome in refused {
        let details = assert_refused(outcome, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
        assert_eq!(details.error_info().unwrap().metadata["available"], "10");
    }
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    let mut revisions: Vec<_> = shop
        .transactions("c1")
        .await
        .iter()
        .map(|t| t.revision)
        .collect();
    revisions.dedup();
    assert_eq!(revisions.len(), 7);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_earnings_of_one_source_post_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = shop.client.clone();
        calls.spawn(async move { client.earn_points(earn("c1", 15, "s1")).await });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(shop.balance("c1").await, (15, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_lots_come_in_pages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for n in 0..5 {
        let occurred_at = Some((time("1998-01-01T00:00:00Z") + TimeDelta::days(n)).into());
        let request = pb::EarnPointsRequest {
            occurred_at,
            ..earn("c1", n + 1, &format!("s{n}"))
        };
        shop.try_earn(request).await.unwrap();
    }
    let (mut posted, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListTransactionsRequest {
            customer_id: "c1".to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = shop
            .client
            .list_transactions(request)
            .await
            .unwrap()
            .into_inner();
        posted.extend(page.transactions.into_iter().map(|t| t.points));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(posted, [5, 4, 3, 2, 1]);

    let (mut lots, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListLotsRequest {
            customer_id: "c1".to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = shop.client.list_lots(request).await.unwrap().into_inner();
        lots.extend(page.lots.into_iter().map(|lot| lot.original));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(lots, [1, 2, 3, 4, 5]);
}
