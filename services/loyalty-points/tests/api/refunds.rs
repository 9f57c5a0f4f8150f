//! Redemptions given back.

use api::loyalty::v1 as pb;
use pb::reverse_transaction_request::Extent;
use pb::{RefundPolicy, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{NOW, Shop, at, earn};
use crate::{audit, imports};

const AUGUST: &str = "1998-08-01T00:00:00Z";

/// A member with 30 points until August and 100 for longer, who spends 50; the id of that.
async fn spent(backend: Backend) -> (Shop, String) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let soon = pb::EarnPointsRequest {
        expires_at: at(AUGUST),
        ..earn("c1", 30, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.earn("c1", 100, "late").await;
    let redeemed = shop.redeem("c1", 50).await.unwrap();
    (shop, redeemed.transaction.unwrap().transaction_id)
}

fn refund(transaction_id: &str, points: i64) -> pb::ReverseTransactionRequest {
    pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        extent: (points > 0).then_some(Extent::Points(points)),
        ..Default::default()
    }
}

async fn try_refund(
    shop: &mut Shop,
    request: pb::ReverseTransactionRequest,
) -> Result<pb::ReverseTransactionResponse, Status> {
    let answer = shop.client.reverse_transaction(request).await?;
    Ok(answer.into_inner())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_restores_the_lots_and_their_expiry(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let soon = pb::EarnPointsRequest {
        expires_at: at(AUGUST),
        ..earn("c1", 30, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.earn("c1", 100, "late").await;
    let before = shop.lots("c1").await;
    let redeemed = shop.redeem("c1", 50).await.unwrap().transaction.unwrap();
    let id = redeemed.transaction_id;

    // What was taken last returns first, as if less had been spent.
    let part = try_refund(&mut shop, refund(&id, 25)).await.unwrap();
    let restored: Vec<_> = part
        .restored
        .iter()
        .map(|a| (a.lot_id.clone(), a.points))
        .collect();
    let expected = [
        (before[1].lot_id.clone(), 20),
        (before[0].lot_id.clone(), 5),
    ];
    assert_eq!(restored, expected);
    let posted = part.transaction.unwrap();
    assert_eq!(
        (posted.kind(), posted.points),
        (TransactionKind::Refund, 25)
    );
    assert_eq!(posted.reverses_transaction_id, id);
    assert_eq!((part.expired, part.debt_incurred), (0, 0));
    assert_eq!(part.balance.unwrap().available, 105);

    let refused = try_refund(&mut shop, refund(&id, 26)).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "REVERSAL_EXCEEDED");
    assert_eq!(details.error_info().unwrap().metadata["reversible"], "25");
    let rest = try_refund(&mut shop, refund(&id, 0))
        .await
        .unwrap()
        .transaction
        .unwrap();
    assert_eq!(rest.points, 25);
    assert_eq!(shop.lots("c1").await, before);
    assert_eq!(shop.tier("c1").await.qualifying_points, 130);

    let refused = try_refund(&mut shop, refund(&id, 0)).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "ALREADY_REVERSED");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["transaction_id"], rest.transaction_id);
    let refused = try_refund(&mut shop, refund(&rest.transaction_id, 0)).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_REVERSIBLE");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_of_lots_expired_meanwhile_expire_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, id) = spent(backend).await;
    shop.server.clock.set(testkit::time(AUGUST));
    let refunded = try_refund(&mut shop, refund(&id, 0)).await.unwrap();
    assert_eq!(refunded.expired, 30);
    assert_eq!(refunded.balance.unwrap().available, 100);
    let posted: Vec<_> = shop.transactions("c1").await;
    let told: Vec<_> = posted[..2].iter().map(|t| (t.kind(), t.points)).collect();
    let expected = [
        (TransactionKind::Expire, -30),
        (TransactionKind::Refund, 50),
    ];
    assert_eq!(told, expected);
    let lots = shop.lots("c1").await;
    assert_eq!((lots[0].expired, lots[0].consumed), (30, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn grace_lets_them_be_spent_for_some_days(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, id) = spent(backend).await;
    shop.server.clock.set(testkit::time(AUGUST));
    let graceful = |points| pb::ReverseTransactionRequest {
        refund_policy: RefundPolicy::Grace.into(),
        grace_days: 14,
        ..refund(&id, points)
    };
    try_refund(&mut shop, graceful(40)).await.unwrap();
    let rest = try_refund(&mut shop, graceful(0)).await.unwrap();
    assert_eq!((rest.expired, rest.restored[0].points), (0, 10));
    assert_eq!(rest.restored[0].expires_at, at("1998-08-15T00:00:00Z"));
    assert_eq!(shop.balance("c1").await, (130, 0, 0));
    let refused = try_refund(&mut shop, graceful(0)).await;
    assert_refused(refused, Code::FailedPrecondition, "ALREADY_REVERSED");
    shop.server.clock.set(testkit::time("1998-08-15T00:00:00Z"));
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
    assert_eq!(shop.tier("c1").await.qualifying_points, 130);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_refunded_too_and_debt_repaid_from_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let hold = pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points: 80,
        ..Default::default()
    };
    let hold = shop.client.authorize_hold(hold).await.unwrap().into_inner();
    let capture = pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: hold.hold.unwrap().hold_id,
        points: 80,
        ..Default::default()
    };
    let captured = shop.client.capture_hold(capture).await.unwrap();
    let captured = captured.into_inner().transaction.unwrap().transaction_id;
    shop.reverse("c1", &earned.transaction_id).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 0, 80));
    try_refund(&mut shop, refund(&captured, 0)).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn refunds_replay_run_dry_and_are_refused_when_malformed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, id) = spent(backend).await;
    let dry = pb::ReverseTransactionRequest {
        request_id: "r1".to_owned(),
        dry_run: true,
        ..refund(&id, 10)
    };
    let told = try_refund(&mut shop, dry.clone()).await.unwrap();
    assert_eq!(told.balance.unwrap().available, 90);
    assert_eq!(shop.balance("c1").await, (80, 0, 0));
    let real = pb::ReverseTransactionRequest {
        dry_run: false,
        ..dry
    };
    let first = try_refund(&mut shop, real.clone()).await.unwrap();
    let again = try_refund(&mut shop, real).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(shop.balance("c1").await, (90, 0, 0));

    let grace = i32::from(RefundPolicy::Grace);
    for (refund_policy, grace_days, field) in [
        (99, 0, "refund_policy"),
        (grace, 0, "grace_days"),
        (grace, 3_651, "grace_days"),
        (0, 5, "grace_days"),
    ] {
        let request = pb::ReverseTransactionRequest {
            refund_policy,
            grace_days,
            ..refund(&id, 1)
        };
        let status = try_refund(&mut shop, request).await.unwrap_err();
        assert_eq!(violations(&status), [field]);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refunds_never_give_back_more_than_was_spent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, id) = spent(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = shop.client.clone();
        let request = refund(&id, 15);
        calls.spawn(async move { client.reverse_transaction(request).await.map(drop) });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(shop.balance("c1").await, (125, 0, 0));
}

/// Points that waited were spent by force, then their event was called off and they were made up for: refunded, they can be
/// spent.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_of_a_lot_that_was_called_off_return_as_another_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(RefundPolicy::Expire, RefundPolicy::Grace)] policy: RefundPolicy,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        expires_at: at(AUGUST),
        ..earn("c1", 60, "trip")
    };
    shop.try_earn(waiting).await.unwrap();
    let forced = pb::ImportRow {
        force: true,
        reason: "so it was".to_owned(),
        ..imports::row(1, pb::ImportKind::Redeem, 40, NOW)
    };
    let outcomes = imports::import(&shop, imports::header(), &[forced]).await;
    let call_off = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "trip".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(call_off).await.unwrap();
    shop.earn("c1", 30, "new").await;
    assert_eq!(shop.balance("c1").await, (0, 0, 10));
    let request = pb::ReverseTransactionRequest {
        refund_policy: policy.into(),
        grace_days: if policy == RefundPolicy::Grace { 3 } else { 0 },
        ..refund(&outcomes[0].transaction_id, 0)
    };
    let refunded = try_refund(&mut shop, request).await.unwrap();
    assert_eq!(shop.balance("c1").await, (30, 0, 0));
    assert_eq!((refunded.restored[0].points, refunded.expired), (40, 0));
    assert_eq!(refunded.restored[0].expires_at, at(AUGUST));
    shop.redeem("c1", 30).await.unwrap();
    audit::success(&shop).await;
}
