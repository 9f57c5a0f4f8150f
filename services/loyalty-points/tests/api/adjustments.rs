//! Points given and taken by hand, and dry runs of it and of the other postings.

use api::loyalty::v1 as pb;
use pb::TransactionKind;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{Shop, at, earn, redeem};

fn adjust(points: i64) -> pb::AdjustPointsRequest {
    pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points,
        reason_code: "GOODWILL".to_owned(),
        reason: "a late parcel".to_owned(),
        ..Default::default()
    }
}

async fn try_adjust(
    shop: &mut Shop,
    request: pb::AdjustPointsRequest,
) -> Result<pb::AdjustPointsResponse, Status> {
    Ok(shop.client.adjust_points(request).await?.into_inner())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_given_by_hand_can_be_spent_but_make_no_tier(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let given = pb::AdjustPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..adjust(500)
    };
    let given = try_adjust(&mut shop, given).await.unwrap();
    let (posted, lot) = (given.transaction.unwrap(), given.lot.unwrap());
    assert_eq!(
        (posted.kind(), posted.points),
        (TransactionKind::Adjust, 500)
    );
    assert_eq!(
        (posted.reason_code.as_str(), posted.reason.as_str()),
        ("GOODWILL", "a late parcel")
    );
    assert_eq!(
        (lot.remaining, lot.expires_at),
        (500, at("1998-08-01T00:00:00Z"))
    );
    let tier = shop.tier("c1").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 0));
    assert_eq!(shop.transactions("c1").await, std::slice::from_ref(&posted));
    shop.redeem("c1", 500).await.unwrap();
    let refused = shop.reverse("c1", &posted.transaction_id).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_REVERSIBLE");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_taken_by_hand_come_from_the_lot_that_expires_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let late = shop.earn("c1", 120, "late").await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 30, "soon")
    };
    let soon = shop.try_earn(soon).await.unwrap().lot.unwrap();
    let taken = try_adjust(&mut shop, adjust(-50)).await.unwrap();
    let lots: Vec<_> = taken
        .allocations
        .iter()
        .map(|a| (a.lot_id.clone(), a.points))
        .collect();
    let late_lot = late.lot.unwrap().lot_id;
    assert_eq!(lots, [(soon.lot_id, 30), (late_lot, 20)]);
    let posted = taken.transaction.unwrap();
    assert_eq!(
        (posted.kind(), posted.points),
        (TransactionKind::Adjust, -50)
    );
    assert_eq!(taken.balance.unwrap().available, 100);
    assert_eq!(shop.tier("c1").await.qualifying_points, 150);
    let lots: Vec<_> = shop
        .lots("c1")
        .await
        .iter()
        .map(|lot| (lot.consumed, lot.reversed))
        .collect();
    assert_eq!(lots, [(0, 30), (0, 20)]);

    let refused = try_adjust(&mut shop, adjust(-101)).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(details.error_info().unwrap().metadata["available"], "100");
    // What was taken is not taken back again with the earning.
    let earned = late.transaction.unwrap().transaction_id;
    let reversed = shop.reverse("c1", &earned).await.unwrap();
    assert_eq!(reversed.transaction.unwrap().points, -100);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_adjustments_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let everything = pb::AdjustPointsRequest {
        request_id: "no spaces".to_owned(),
        customer_id: "no spaces".to_owned(),
        points: 0,
        reason_code: "because".to_owned(),
        reason: "x".repeat(501),
        ..Default::default()
    };
    let status = try_adjust(&mut shop, everything).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [
            "request_id",
            "customer_id",
            "points",
            "reason_code",
            "reason"
        ]
    );
    for points in [1_000_000_000_001, -1_000_000_000_001, i64::MIN] {
        let status = try_adjust(&mut shop, adjust(points)).await.unwrap_err();
        assert_eq!(violations(&status), ["points"]);
    }
    for (points, expires_at) in [(-1, "1999-01-01T00:00:00Z"), (1, "1998-07-01T00:00:00Z")] {
        let request = pb::AdjustPointsRequest {
            expires_at: at(expires_at),
            ..adjust(points)
        };
        let status = try_adjust(&mut shop, request).await.unwrap_err();
        assert_eq!(violations(&status), ["expires_at"]);
    }
    let nobody = pb::AdjustPointsRequest {
        customer_id: "nobody".to_owned(),
        ..adjust(1)
    };
    let refused = try_adjust(&mut shop, nobody).await;
    assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_adjustment_has_one_effect(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::AdjustPointsRequest {
        request_id: "r1".to_owned(),
        ..adjust(20)
    };
    let first = try_adjust(&mut shop, request.clone()).await.unwrap();
    let again = try_adjust(&mut shop, request).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(shop.balance("c1").await, (20, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_like_the_real_thing_and_leaves_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let request_id = || "r1".to_owned();

    let dry = pb::AdjustPointsRequest {
        request_id: request_id(),
        dry_run: true,
        ..adjust(-30)
    };
    let told = try_adjust(&mut shop, dry.clone()).await.unwrap();
    assert_eq!(told.balance.unwrap().available, 70);
    assert_eq!(
        (told.consistency_token.as_str(), told.allocations[0].points),
        ("", 30)
    );
    let posted = told.transaction.unwrap();
    assert_eq!((posted.transaction_id.as_str(), posted.points), ("", -30));

    let dry_earn = pb::EarnPointsRequest {
        dry_run: true,
        ..earn("c1", 200, "s2")
    };
    let told = shop.try_earn(dry_earn).await.unwrap();
    assert_eq!(
        (
            told.balance.unwrap().available,
            told.consistency_token.as_str()
        ),
        (300, "")
    );
    let dry_redeem = pb::RedeemPointsRequest {
        dry_run: true,
        ..redeem("c1", 100)
    };
    let told = shop
        .client
        .redeem_points(dry_redeem)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.balance.unwrap().available, 0);
    let dry_overdraft = pb::RedeemPointsRequest {
        dry_run: true,
        ..redeem("c1", 101)
    };
    let refused = shop.client.redeem_points(dry_overdraft).await;
    assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    let dry_reverse = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: earned.transaction_id.clone(),
        dry_run: true,
        ..Default::default()
    };
    let told = shop
        .client
        .reverse_transaction(dry_reverse)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.transaction.unwrap().points, -100);

    assert_eq!(shop.balance("c1").await, (100, 0, 0));
    assert_eq!(shop.transactions("c1").await, [earned]);
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    // Neither is the request id used up, nor the source, nor a revision.
    let real = pb::AdjustPointsRequest {
        dry_run: false,
        ..dry
    };
    try_adjust(&mut shop, real).await.unwrap();
    let next = shop.earn("c1", 1, "s2").await.transaction.unwrap();
    assert_eq!(next.revision, 5);
    assert_eq!(shop.balance("c1").await, (71, 0, 0));
}
