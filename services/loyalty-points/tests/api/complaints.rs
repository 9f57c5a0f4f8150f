//! What users of other ledgers complain about, one test each: points that appear, vanish or come twice. Those about
//! many callers at once are in `complaints_at_once`.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::{Backend, assert_refused, time};
use tonic::{Code, Status};

use crate::shop::{Purchase, Shop, at, earn};

async fn take_back(
    shop: &mut Shop,
    transaction_id: &str,
    extent: Option<Extent>,
) -> Result<pb::ReverseTransactionResponse, Status> {
    let request = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        extent,
        ..Default::default()
    };
    let answer = shop.client.reverse_transaction(request).await?;
    Ok(answer.into_inner())
}

/// Complaint 1 (blnkfinance/blnk#374): a duplicate refund is refused and applied all the same.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_refused_as_a_duplicate_gives_nothing_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let spent = shop.redeem("c1", 40).await.unwrap().transaction.unwrap();
    let refund = take_back(&mut shop, &spent.transaction_id, None)
        .await
        .unwrap();
    let refund = refund.transaction.unwrap();
    for _ in 0..3 {
        let again = take_back(&mut shop, &spent.transaction_id, None).await;
        let details = assert_refused(again, Code::FailedPrecondition, "ALREADY_REVERSED");
        let by = &details.error_info().unwrap().metadata["transaction_id"];
        assert_eq!(by, &refund.transaction_id);
        assert_eq!(shop.balance("c1").await, (100, 0, 0));
    }
    assert_eq!(shop.transactions("c1").await.len(), 3);
}

/// Complaint 2 (blnkfinance/blnk#181): holds are left out of the balance check.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_on_hold_are_not_spent_a_second_time(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    shop.earn("c1", 100, "s1").await;
    let hold = |points| pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points,
        ..Default::default()
    };
    shop.client.authorize_hold(hold(80)).await.unwrap();
    let refused = [
        shop.redeem("c1", 21).await.map(drop),
        shop.client.authorize_hold(hold(21)).await.map(drop),
        give(&mut shop, 21).await.map(drop),
        adjust(&mut shop, -21).await.map(drop),
    ];
    for refused in refused {
        let details = assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
        assert_eq!(details.error_info().unwrap().metadata["available"], "20");
    }
    shop.redeem("c1", 20).await.unwrap();
}

async fn give(shop: &mut Shop, points: i64) -> Result<pb::TransferPointsResponse, Status> {
    let request = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points,
        ..Default::default()
    };
    Ok(shop.client.transfer_points(request).await?.into_inner())
}

async fn adjust(shop: &mut Shop, points: i64) -> Result<pb::AdjustPointsResponse, Status> {
    let request = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points,
        reason_code: "GOODWILL".to_owned(),
        ..Default::default()
    };
    Ok(shop.client.adjust_points(request).await?.into_inner())
}

/// Complaint 4 (FreeOpenSourcePOS/FloCafe#78): credits expire, what was spent of them is subtracted from what is left.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_of_expired_points_is_not_taken_from_newer_ones(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let old = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 100, "old")
    };
    shop.try_earn(old).await.unwrap();
    shop.redeem("c1", 60).await.unwrap();
    shop.earn("c1", 50, "new").await;
    assert_eq!(shop.balance("c1").await, (90, 0, 0));
    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    assert_eq!(shop.balance("c1").await, (50, 0, 0));
    shop.redeem("c1", 50).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

/// Complaint 5 (liberusoftware/ecommerce-laravel#1056): expiry hangs on a label, so lots without it never expire and
/// what is owed to members grows for ever.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_expire_whatever_they_were_earned_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.bought("c1", Purchase::dollars("t1", "1998-06-30T00:00:00Z", 70))
        .await;
    shop.caught_up().await;
    for source_type in ["promotion", "survey", "no label that anybody knows"] {
        let earning = pb::EarnPointsRequest {
            source_type: source_type.to_owned(),
            ..earn("c1", 10, "s1")
        };
        shop.try_earn(earning).await.unwrap();
    }
    adjust(&mut shop, 20).await.unwrap();
    give(&mut shop, 15).await.unwrap();
    assert_eq!(shop.summary().await.points_outstanding, 120);
    for customer_id in ["c1", "c2"] {
        for lot in shop.lots(customer_id).await {
            assert!(lot.expires_at.is_some(), "{lot:?}");
        }
    }
    // The program's 730 days after the latest of them.
    shop.server.clock.set(time("2000-06-30T00:00:00Z"));
    assert_eq!(shop.summary().await.points_outstanding, 0);
}

/// Complaint 6 (odoo#257854, erpnext#32951): buy, earn, spend the points, return the goods, and keep the points.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_of_a_returned_purchase_are_owed_even_if_they_were_spent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("t1", "1998-06-30T00:00:00Z", 300);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    shop.redeem("c1", 300).await.unwrap();
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (0, 0, 300));
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    shop.earn("c1", 320, "s1").await;
    assert_eq!(shop.balance("c1").await, (20, 0, 0));
}

/// Complaint 7 (odoo#212922, odoo#221928): a refund, or a part of one, takes points once more instead of giving them.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_refund_gives_points_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let spent = shop.redeem("c1", 90).await.unwrap().transaction.unwrap();
    let parts = [Some(Extent::Points(30)), Some(Extent::Points(25)), None];
    for (part, (points, available)) in parts.into_iter().zip([(30, 40), (25, 65), (35, 100)]) {
        let refund = take_back(&mut shop, &spent.transaction_id, part)
            .await
            .unwrap();
        assert_eq!(refund.transaction.unwrap().points, points);
        assert_eq!(shop.balance("c1").await, (available, 0, 0));
    }
    let more = take_back(&mut shop, &spent.transaction_id, Some(Extent::Points(1))).await;
    assert_refused(more, Code::FailedPrecondition, "ALREADY_REVERSED");
}

/// Complaint 8 (odoo#153541, odoo#111670): fractions drift, and a hair below zero spoils what is exact.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn shares_that_do_not_divide_add_up_to_the_last_point(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    // 268.28 in seven parts, as prices come.
    let money = |micros| {
        Some(Money {
            currency_code: "USD".to_owned(),
            micros,
        })
    };
    let (whole, mut returned, mut taken) = (268_280_000, 0, Vec::new());
    for part in [
        38_330_000,
        38_330_000,
        0,
        38_320_000,
        100_000_000,
        10_000,
        53_290_000,
    ] {
        returned += part;
        let extent = Extent::Returned(pb::ReturnedAmount {
            original: money(whole),
            returned: money(returned),
        });
        match take_back(&mut shop, &earned.transaction_id, Some(extent)).await {
            Ok(reversed) => taken.push(-reversed.transaction.unwrap().points),
            refused => {
                assert_refused(refused, Code::FailedPrecondition, "NOTHING_TO_REVERSE");
                taken.push(0);
            }
        }
    }
    // floor(100 * returned / 268.28), each less what came before.
    assert_eq!((returned, taken), (whole, vec![14, 14, 0, 14, 38, 0, 20]));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

/// Complaint 15 (erpnext#14930, #22167, #45450): the wrong tier at a threshold.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_begins_with_the_point_that_reaches_its_threshold(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut earned = Vec::new();
    for (points, tier, missing) in [
        (99, "Bronze", 1),
        (1, "Silver", 150),
        (149, "Silver", 1),
        (1, "Gold", 0),
    ] {
        let answer = shop.earn("c1", points, &format!("s{}", earned.len())).await;
        earned.push(answer.transaction.unwrap().transaction_id);
        let told = shop.tier("c1").await;
        assert_eq!(
            (told.tier.as_str(), told.points_to_next_tier),
            (tier, missing)
        );
    }
    // Spending takes no tier; taking an earning back does, at the same points.
    shop.redeem("c1", 200).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    shop.reverse("c1", &earned[3]).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    shop.reverse("c1", &earned[2]).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    shop.reverse("c1", &earned[1]).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
}

/// Also asked for (formancehq/ledger#340): postings dated back. They count from when it happened, and rewrite nothing
/// that a statement has told.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_earning_dated_back_counts_from_then_and_changes_no_statement(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    let june = pb::GetStatementRequest {
        customer_id: "c1".to_owned(),
        from: at("1998-06-01T00:00:00Z"),
        to: at("1998-07-01T00:00:00Z"),
        ..Default::default()
    };
    let before = shop
        .client
        .get_statement(june.clone())
        .await
        .unwrap()
        .into_inner();
    let late = pb::EarnPointsRequest {
        occurred_at: at("1998-06-10T00:00:00Z"),
        ..earn("c1", 40, "late")
    };
    shop.try_earn(late).await.unwrap();
    let on = |day| Some(time(day));
    assert_eq!(
        shop.balance_at("c1", on("1998-06-09T00:00:00Z")).await,
        (0, 0, 0)
    );
    assert_eq!(
        shop.balance_at("c1", on("1998-06-10T00:00:00Z")).await,
        (40, 0, 0)
    );
    assert_eq!(shop.balance("c1").await, (50, 0, 0));
    let after = shop.client.get_statement(june).await.unwrap().into_inner();
    assert_eq!(before, after);
}
