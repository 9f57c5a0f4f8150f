//! Earnings taken back in parts, as purchases are returned in parts.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::reverse_transaction_request::Extent;
use pb::{ReturnedAmount, ReversalPolicy};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{Purchase, Shop, at, earn};

#[expect(clippy::unnecessary_wraps, reason = "goes into optional fields")]
fn dollars(dollars: i64) -> Option<Money> {
    Some(Money {
        currency_code: "USD".to_owned(),
        micros: dollars * 1_000_000,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "goes into optional fields")]
fn returned(of: i64, so_far: i64) -> Option<Extent> {
    Some(Extent::Returned(ReturnedAmount {
        original: dollars(of),
        returned: dollars(so_far),
    }))
}

async fn reverse(
    shop: &mut Shop,
    transaction_id: &str,
    extent: Option<Extent>,
    policy: ReversalPolicy,
) -> Result<pb::ReverseTransactionResponse, Status> {
    let request = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        extent,
        policy: policy.into(),
        ..Default::default()
    };
    let answer = shop.client.reverse_transaction(request).await?;
    Ok(answer.into_inner())
}

async fn points_of(
    shop: &mut Shop,
    transaction_id: &str,
    extent: Option<Extent>,
) -> Result<i64, Status> {
    let policy = ReversalPolicy::Unspecified;
    let reversed = reverse(shop, transaction_id, extent, policy).await?;
    Ok(reversed.transaction.unwrap().points)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_return_add_up_exactly(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let id = earned.transaction_id;
    // Three articles of one price each: 33, 33 and then 34 points.
    assert_eq!(
        points_of(&mut shop, &id, returned(3, 1)).await.unwrap(),
        -33
    );
    let again = points_of(&mut shop, &id, returned(3, 1)).await;
    assert_refused(again, Code::FailedPrecondition, "NOTHING_TO_REVERSE");
    assert_eq!(shop.tier("c1").await.qualifying_points, 67);
    assert_eq!(
        points_of(&mut shop, &id, returned(3, 2)).await.unwrap(),
        -33
    );
    assert_eq!(shop.balance("c1").await, (34, 0, 0));
    shop.redeem("c1", 30).await.unwrap();
    let last = reverse(&mut shop, &id, returned(3, 3), ReversalPolicy::AllowDebt).await;
    let last = last.unwrap();
    let posted = last.transaction.unwrap();
    assert_eq!((posted.points, last.debt_incurred), (-34, 30));
    assert_eq!(posted.reverses_transaction_id, id);
    assert_eq!(shop.balance("c1").await, (0, 0, 30));
    assert_eq!(shop.tier("c1").await.qualifying_points, 0);
    let details = assert_refused(
        points_of(&mut shop, &id, None).await,
        Code::FailedPrecondition,
        "ALREADY_REVERSED",
    );
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["transaction_id"], posted.transaction_id);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_earning_is_taken_back_by_points_and_then_the_rest(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let id = earned.transaction_id;
    assert_eq!(
        points_of(&mut shop, &id, Some(Extent::Points(60)))
            .await
            .unwrap(),
        -60
    );
    let refused = points_of(&mut shop, &id, Some(Extent::Points(41))).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "REVERSAL_EXCEEDED");
    assert_eq!(details.error_info().unwrap().metadata["reversible"], "40");
    assert_eq!(points_of(&mut shop, &id, None).await.unwrap(), -40);
    assert_eq!(shop.lots("c1").await[0].state(), pb::LotState::Reversed);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

/// Points that a refund returns to a lot taken back before are no part of the earning any more.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_earning_taken_back_whatever_becomes_of_its_lot(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 100, "s1")
    };
    let earned = shop.try_earn(first).await.unwrap().transaction.unwrap();
    let id = earned.transaction_id;
    let spent = shop.redeem("c1", 80).await.unwrap().transaction.unwrap();
    shop.earn("c1", 90, "s2").await;
    assert_eq!(points_of(&mut shop, &id, None).await.unwrap(), -100);
    let refunded = points_of(&mut shop, &spent.transaction_id, None).await;
    assert_eq!(refunded.unwrap(), 80);
    let taken = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points: -50,
        reason_code: "CORRECTION".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    shop.client.adjust_points(taken).await.unwrap();
    assert_eq!(
        shop.lots("c1").await[0].remaining,
        30,
        "of the lot refunded"
    );
    let again = points_of(&mut shop, &id, None).await;
    assert_refused(again, Code::FailedPrecondition, "ALREADY_REVERSED");
    assert_eq!(shop.balance("c1").await, (40, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_where_points_may_be_taken_from(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let pending = pb::EarnPointsRequest {
        activates_at: at("1998-07-10T00:00:00Z"),
        ..earn("c1", 50, "s1")
    };
    let pending = shop
        .try_earn(pending)
        .await
        .unwrap()
        .transaction
        .unwrap()
        .transaction_id;
    let spent = shop
        .earn("c1", 100, "s2")
        .await
        .transaction
        .unwrap()
        .transaction_id;
    shop.redeem("c1", 90).await.unwrap();

    let refused = reverse(&mut shop, &spent, None, ReversalPolicy::PendingOnly).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "REVERSAL_NOT_COVERED");
    assert_eq!(details.error_info().unwrap().metadata["reversible"], "0");
    let part = Some(Extent::Points(20));
    let taken = reverse(&mut shop, &pending, part, ReversalPolicy::PendingOnly)
        .await
        .unwrap();
    assert_eq!(taken.balance.unwrap().pending, 30);

    let refused = reverse(&mut shop, &spent, None, ReversalPolicy::WithinBalance).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "REVERSAL_NOT_COVERED");
    assert_eq!(details.error_info().unwrap().metadata["reversible"], "40");
    let part = Some(Extent::Points(40));
    let taken = reverse(&mut shop, &spent, part, ReversalPolicy::WithinBalance)
        .await
        .unwrap();
    assert_eq!(taken.debt_incurred, 0);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    let taken = reverse(&mut shop, &spent, None, ReversalPolicy::AllowDebt)
        .await
        .unwrap();
    assert_eq!(taken.debt_incurred, 60);
    assert_eq!(shop.balance("c1").await, (0, 0, 60));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_returned_in_part_and_then_voided_is_taken_back_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("t1", "1998-07-01T00:00:00Z", 80);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let id = shop.transactions("c1").await[0].transaction_id.clone();
    assert_eq!(
        points_of(&mut shop, &id, returned(80, 30)).await.unwrap(),
        -30
    );
    shop.voided("c1", purchase).await;
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    let posted: Vec<_> = shop
        .transactions("c1")
        .await
        .iter()
        .map(|t| t.points)
        .collect();
    assert_eq!(posted, [-50, -30, 80]);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_parts_never_take_back_more_than_was_earned(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = shop.client.clone();
        let request = pb::ReverseTransactionRequest {
            customer_id: "c1".to_owned(),
            transaction_id: earned.transaction_id.clone(),
            extent: Some(Extent::Points(15)),
            ..Default::default()
        };
        calls.spawn(async move { client.reverse_transaction(request).await.map(drop) });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 6);
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_parts_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let id = earned.transaction_id;
    let unset = ReversalPolicy::Unspecified;
    for (extent, fields) in [
        (Some(Extent::Points(0)), vec!["points"]),
        (returned(0, 0), vec!["returned.original"]),
        (returned(10, 11), vec!["returned.returned"]),
        (returned(10, -1), vec!["returned.returned"]),
        (
            Some(Extent::Returned(ReturnedAmount::default())),
            vec!["returned.original", "returned.returned"],
        ),
    ] {
        let status = reverse(&mut shop, &id, extent, unset).await.unwrap_err();
        assert_eq!(violations(&status), fields);
    }
    let request = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: id,
        policy: 99,
        ..Default::default()
    };
    let status = shop.client.reverse_transaction(request).await.unwrap_err();
    assert_eq!(violations(&status), ["policy"]);
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
}
