//! What is taken back of an earning is given back to the windows that it was counted in.

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::LimitExcess::{Clamp, Refuse};
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::{Backend, time};

use super::earned::AUGUST;
use super::{budget, cap, end, set, used, used_at};
use crate::shop::{NOW, Purchase, Shop, earn};

async fn earned(shop: &mut Shop, request: pb::EarnPointsRequest) -> String {
    let earned = shop.try_earn(request).await.unwrap();
    earned.transaction.unwrap().transaction_id
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_gives_back_to_the_window_of_the_earning(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 100, Clamp)).await;
    set(&shop, budget("all", 1000, Refuse)).await;
    shop.earn("c1", 40, "s1").await;
    let july = earned(&mut shop, earn("c1", 90, "s2")).await;
    shop.server.clock.set(time(AUGUST));
    shop.earn("c1", 70, "s3").await;
    let both = async |shop: &Shop| {
        let in_july = used_at(shop, "c1", Some(NOW)).await;
        let in_august = used_at(shop, "c1", None).await;
        (
            in_july
                .into_iter()
                .map(|(_, used)| used)
                .collect::<Vec<_>>(),
            in_august[0].1,
        )
    };
    assert_eq!(both(&shop).await, (vec![100, 100], 70));

    shop.take_back("c1", &july, Extent::Points(10)).await;
    assert_eq!(both(&shop).await, (vec![90, 90], 70));
    let money = |micros| Money {
        currency_code: "USD".to_owned(),
        micros,
    };
    let half = pb::ReturnedAmount {
        original: Some(money(4)),
        returned: Some(money(2)),
    };
    shop.take_back("c1", &july, Extent::Returned(half)).await;
    assert_eq!(both(&shop).await, (vec![70, 70], 70));
    // Also where the limit was changed since, or has ended.
    set(&shop, cap("month", 5, Clamp)).await;
    end(&shop, "all").await;
    shop.reverse("c1", &july).await.unwrap();
    set(&shop, budget("all", 1000, Refuse)).await;
    assert_eq!(both(&shop).await, (vec![40, 40], 70));
    super::merged::verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn spent_expired_and_adjusted_points_are_not_given_back_unless_taken_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 100, Refuse)).await;
    let request = pb::EarnPointsRequest {
        expires_at: crate::shop::at("1998-07-10T00:00:00Z"),
        ..earn("c1", 100, "s1")
    };
    let transaction_id = earned(&mut shop, request).await;
    shop.redeem("c1", 30).await.unwrap();
    let taken = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points: -20,
        reason_code: "CORRECTION".to_owned(),
        ..Default::default()
    };
    shop.client.adjust_points(taken).await.unwrap();
    shop.server.clock.set(time("1998-07-11T00:00:00Z"));
    assert_eq!(used(&shop, "c1").await, 100);
    // What was adjusted away is no longer there to be taken back.
    let reversed = shop.reverse("c1", &transaction_id).await.unwrap();
    assert_eq!(reversed.debt_incurred, 30);
    assert_eq!(used(&shop, "c1").await, 20);
    super::merged::verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pending_points_count_when_they_are_earned_until_they_are_cancelled(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 100, Refuse)).await;
    for source_ref in ["s1", "s2"] {
        let waiting = pb::EarnPointsRequest {
            activates_on_event: true,
            ..earn("c1", 45, source_ref)
        };
        shop.try_earn(waiting).await.unwrap();
    }
    assert_eq!(used(&shop, "c1").await, 90);
    shop.server.clock.set(time(AUGUST));
    let activation = pb::ActivatePendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "s1".to_owned(),
        ..Default::default()
    };
    shop.client.activate_pending(activation).await.unwrap();
    let cancellation = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "s2".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(cancellation).await.unwrap();
    let in_july = used_at(&shop, "c1", Some(NOW)).await;
    assert_eq!(in_july, [("month".to_owned(), 45)]);
    assert_eq!(used(&shop, "c1").await, 0);
    super::merged::verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_gives_back_by_lines_and_when_it_is_voided(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 50, Clamp)).await;
    let line = |dollars: i64| customer::TransactionLine {
        amount: Some(Money {
            currency_code: "USD".to_owned(),
            micros: dollars * 1_000_000,
        }),
        quantity: 1,
        ..Default::default()
    };
    let purchase = Purchase::dollars("t1", NOW, 100);
    let transaction = customer::Transaction {
        lines: vec![line(60), line(40)],
        ..purchase.transaction("c1")
    };
    shop.recorded("c1", transaction).await;
    let nothing = Purchase::dollars("t2", NOW, 10);
    shop.bought("c1", nothing).await;
    shop.caught_up().await;
    assert_eq!(used(&shop, "c1").await, 50);
    let first = shop.transactions("c1").await.pop().unwrap();
    let returned = pb::ReturnedLines {
        lines: vec![pb::ReturnedLine {
            line_id: "2".to_owned(),
            share: None,
        }],
    };
    shop.take_back("c1", &first.transaction_id, Extent::Lines(returned))
        .await;
    assert_eq!(used(&shop, "c1").await, 30);
    shop.voided("c1", nothing).await;
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!(
        (used(&shop, "c1").await, shop.balance("c1").await),
        (0, (0, 0, 0))
    );
    super::merged::verify(&shop).await;
}

/// Whatever is earned and taken back in whatever order, what is left in the end is what the ledger still has.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_taken_back_leaves_nothing_used(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 2, 3)] seed: u64,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 120, Clamp)).await;
    let week = pb::EarningLimit {
        window: pb::LimitWindow::Week.into(),
        ..cap("week", 90, Refuse)
    };
    set(&shop, week).await;
    shop.server.clock.set(time("1998-07-20T00:00:00Z"));
    let mut dice = seed;
    let mut roll = |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((dice >> 33) % sides).unwrap()
    };
    let mut earnings = Vec::new();
    for n in 0..25 {
        let at = format!("1998-07-{:02}T12:00:00Z", 1 + roll(14));
        let request = pb::EarnPointsRequest {
            occurred_at: crate::shop::at(&at),
            ..earn("c1", 1 + roll(60), &format!("s{n}"))
        };
        if let Ok(earned) = shop.try_earn(request).await {
            earnings.push(earned.transaction.unwrap().transaction_id);
        }
        if !earnings.is_empty() && roll(3) == 0 {
            let place = usize::try_from(roll(earnings.len() as u64)).unwrap();
            let request = pb::ReverseTransactionRequest {
                customer_id: "c1".to_owned(),
                transaction_id: earnings[place].clone(),
                extent: Some(Extent::Points(1 + roll(20))),
                ..Default::default()
            };
            // More than is left of it is refused.
            drop(shop.client.reverse_transaction(request).await);
        }
    }
    let kept = shop.balance("c1").await;
    assert_eq!(used_at(&shop, "c1", None).await[0].1, kept.0 - kept.2);
    super::merged::verify(&shop).await;
    for transaction_id in &earnings {
        drop(shop.reverse("c1", transaction_id).await);
    }
    for day in [
        "1998-07-01T00:00:00Z",
        "1998-07-08T00:00:00Z",
        "1998-07-14T00:00:00Z",
    ] {
        let used = used_at(&shop, "c1", Some(day)).await;
        assert!(used.iter().all(|(_, used)| *used == 0), "{day}: {used:?}");
    }
}
