//! Points given to another member.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{Shop, at, earn};

async fn two(backend: Backend) -> Shop {
    let shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    shop
}

fn transfer(points: i64) -> pb::TransferPointsRequest {
    pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points,
        reason: "a present".to_owned(),
        ..Default::default()
    }
}

async fn try_transfer(
    shop: &mut Shop,
    request: pb::TransferPointsRequest,
) -> Result<pb::TransferPointsResponse, Status> {
    Ok(shop.client.transfer_points(request).await?.into_inner())
}

fn clearing(posted: &pb::LedgerTransaction) -> i64 {
    let entries = posted.entries.iter();
    entries
        .filter(|entry| entry.account() == LedgerAccount::Clearing)
        .map(|entry| entry.points)
        .sum()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_given_keep_their_expiry_and_make_no_tier(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    let soon = pb::EarnPointsRequest {
        occurred_at: at("1998-06-01T00:00:00Z"),
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 30, "soon")
    };
    let soon = shop.try_earn(soon).await.unwrap().lot.unwrap();
    let late = shop.earn("c1", 100, "late").await.lot.unwrap();
    let given = try_transfer(&mut shop, transfer(50)).await.unwrap();
    let (sent, received) = (given.transaction.unwrap(), given.received.unwrap());
    assert_eq!(
        (sent.kind(), sent.points, clearing(&sent)),
        (TransactionKind::Transfer, -50, 50)
    );
    assert_eq!(
        (received.kind(), received.points, clearing(&received)),
        (TransactionKind::Transfer, 50, -50)
    );
    assert_eq!(
        (
            sent.counterparty_customer_id.as_str(),
            received.counterparty_customer_id.as_str()
        ),
        ("c2", "c1")
    );
    assert_eq!(received.source_ref, sent.transaction_id);
    assert_eq!(given.balance.unwrap().available, 80);
    let from: Vec<_> = given
        .allocations
        .iter()
        .map(|a| (a.lot_id.clone(), a.points))
        .collect();
    let expected = [(soon.lot_id.clone(), 30), (late.lot_id.clone(), 20)];
    assert_eq!(from, expected);

    let lots = shop.lots("c2").await;
    assert_eq!(lots, given.lots);
    for (lot, (origin, points)) in lots.iter().zip([(&soon, 30), (&late, 20)]) {
        assert_eq!((lot.original, lot.remaining), (points, points));
        assert_eq!(
            (lot.earned_at, lot.activates_at, lot.expires_at),
            (origin.earned_at, origin.activates_at, origin.expires_at)
        );
        assert_eq!(lot.transaction_id, received.transaction_id);
    }
    assert_eq!(shop.balance("c2").await, (50, 0, 0));
    assert_eq!(shop.tier("c2").await.qualifying_points, 0);
    assert_eq!(shop.tier("c1").await.qualifying_points, 130);
    assert_eq!(
        shop.transactions("c2").await,
        std::slice::from_ref(&received)
    );
    let refused = shop.reverse("c2", &received.transaction_id).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_REVERSIBLE");
    let outstanding = shop.summary().await.points_outstanding;
    assert_eq!(outstanding, 130);
    shop.server.clock.set(testkit::time("1998-08-01T00:00:00Z"));
    assert_eq!(shop.balance("c2").await, (20, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_received_repay_what_is_owed_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    shop.earn("c1", 100, "s1").await;
    let earned = shop.earn("c2", 30, "s2").await.transaction.unwrap();
    shop.redeem("c2", 30).await.unwrap();
    shop.reverse("c2", &earned.transaction_id).await.unwrap();
    assert_eq!(shop.balance("c2").await, (0, 0, 30));
    try_transfer(&mut shop, transfer(40)).await.unwrap();
    assert_eq!(shop.balance("c2").await, (10, 0, 0));
    assert_eq!(shop.balance("c1").await, (60, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn transfers_that_cannot_be_are_refused_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    shop.earn("c1", 100, "s1").await;
    let refused = try_transfer(&mut shop, transfer(101)).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(details.error_info().unwrap().metadata["available"], "100");
    let to = |to: &str| pb::TransferPointsRequest {
        to_customer_id: to.to_owned(),
        ..transfer(10)
    };
    let status = try_transfer(&mut shop, to("c1")).await.unwrap_err();
    assert_eq!(violations(&status), ["to_customer_id"]);
    let malformed = pb::TransferPointsRequest {
        request_id: "no spaces".to_owned(),
        points: 0,
        reason: "x".repeat(501),
        ..to("no spaces")
    };
    let status = try_transfer(&mut shop, malformed).await.unwrap_err();
    let fields = ["request_id", "to_customer_id", "points", "reason"];
    assert_eq!(violations(&status), fields);
    let refused = try_transfer(&mut shop, to("nobody")).await;
    let details = assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["customer_id"], "nobody");

    shop.deleted("c2").await;
    shop.caught_up().await;
    let refused = try_transfer(&mut shop, to("c2")).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
    assert_eq!(details.error_info().unwrap().metadata["customer_id"], "c2");
    let back = pb::TransferPointsRequest {
        customer_id: "c2".to_owned(),
        ..to("c1")
    };
    let refused = try_transfer(&mut shop, back).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_transfer_has_one_effect_and_a_dry_one_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    shop.earn("c1", 100, "s1").await;
    let dry = pb::TransferPointsRequest {
        request_id: "r1".to_owned(),
        dry_run: true,
        ..transfer(20)
    };
    let told = try_transfer(&mut shop, dry.clone()).await.unwrap();
    assert_eq!(told.balance.unwrap().available, 80);
    assert_eq!(
        (
            told.consistency_token.as_str(),
            told.recipient_consistency_token.as_str()
        ),
        ("", "")
    );
    assert_eq!(shop.balance("c2").await, (0, 0, 0));
    let real = pb::TransferPointsRequest {
        dry_run: false,
        ..dry
    };
    let first = try_transfer(&mut shop, real.clone()).await.unwrap();
    let again = try_transfer(&mut shop, real).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(shop.balance("c1").await, (80, 0, 0));
    assert_eq!(shop.balance("c2").await, (20, 0, 0));
    let read = pb::GetBalanceRequest {
        customer_id: "c2".to_owned(),
        at_least: first.recipient_consistency_token,
        ..Default::default()
    };
    shop.client.get_balance(read).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn transfers_in_opposite_directions_neither_deadlock_nor_lose_points(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    shop.earn("c1", 100, "s1").await;
    shop.earn("c2", 100, "s2").await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut client = shop.client.clone();
        let (from, to, points) = if n % 2 == 0 {
            ("c1", "c2", 7)
        } else {
            ("c2", "c1", 4)
        };
        let request = pb::TransferPointsRequest {
            customer_id: from.to_owned(),
            to_customer_id: to.to_owned(),
            ..transfer(points)
        };
        calls.spawn(async move { client.transfer_points(request).await.map(drop) });
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(shop.balance("c1").await, (70, 0, 0));
    assert_eq!(shop.balance("c2").await, (130, 0, 0));
    let mut clearings = 0;
    for customer_id in ["c1", "c2"] {
        for posted in shop.transactions(customer_id).await {
            assert_eq!(posted.entries.iter().map(|e| e.points).sum::<i64>(), 0);
            clearings += clearing(&posted);
        }
    }
    assert_eq!(clearings, 0);
}
