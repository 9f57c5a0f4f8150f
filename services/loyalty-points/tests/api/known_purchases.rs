//! Purchases that are told of again: where nothing comes of an event, nothing is touched.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::TierChangeReason::{Earned, Enrolled, Reversed};
use pb::TransactionKind as Kind;
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::{Backend, time};

use crate::shop::{NOW, Purchase, Shop, authorize};
use crate::tier_policies::{policy, publish};

const LATER: &str = "1998-07-02T00:00:00Z";

fn money(dollars: i64) -> Money {
    Money {
        currency_code: "USD".to_owned(),
        micros: dollars * 1_000_000,
    }
}

/// A hold times out, and another version of the tier policy holds, before nothing is told that is new.
async fn time_passes(shop: &mut Shop) {
    let request = authorize("c1", 10, 3600);
    shop.client.authorize_hold(request).await.unwrap();
    publish(shop, policy(30)).await;
    shop.server.clock.set(time(LATER));
}

async fn reasons(shop: &mut Shop) -> Vec<pb::TierChangeReason> {
    let changes = shop.tier_history("c1").await;
    changes.iter().map(pb::TierChange::reason).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_is_known_touches_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("t1", NOW, 40);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    time_passes(&mut shop).await;
    let before = (shop.moves("c1").await, reasons(&mut shop).await);
    shop.bought("c1", purchase).await;
    let of = |id, currency, micros| Purchase {
        id,
        at: NOW,
        currency,
        micros,
    };
    shop.bought("c1", of("t2", "EUR", 40_000_000)).await;
    shop.bought("c1", of("t3", "USD", 0)).await;
    shop.voided("c1", Purchase::dollars("never told", NOW, 40))
        .await;
    shop.caught_up().await;
    assert_eq!((shop.moves("c1").await, reasons(&mut shop).await), before);

    // What is new finds all that time has done.
    shop.bought("c1", Purchase::dollars("t4", NOW, 1)).await;
    shop.caught_up().await;
    assert_eq!(
        shop.moves("c1").await[..2],
        [(Kind::Earn, 1), (Kind::Release, 0)]
    );
    assert_eq!(reasons(&mut shop).await.len(), before.1.len() + 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_void_of_what_was_taken_back_touches_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("t1", NOW, 40);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let earned = shop.transactions("c1").await[0].transaction_id.clone();
    shop.reverse("c1", &earned).await.unwrap();
    shop.earn("c1", 50, "s1").await;
    time_passes(&mut shop).await;
    let before = (shop.moves("c1").await, reasons(&mut shop).await);
    shop.voided("c1", purchase).await;
    shop.voided("c1", purchase).await;
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!((shop.moves("c1").await, reasons(&mut shop).await), before);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_void_takes_back_the_money_that_is_left_where_no_points_are(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let by_spend = pb::TierPolicy {
        metric: pb::TierMetric::Spend.into(),
        ..policy(15_000_000)
    };
    publish(&mut shop, by_spend).await;
    let purchase = Purchase::dollars("t1", NOW, 20);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let earned = shop.transactions("c1").await[0].transaction_id.clone();
    let adjust = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points: -16,
        reason_code: "CORRECTION".to_owned(),
        reason: "a mistake".to_owned(),
        ..Default::default()
    };
    shop.client.adjust_points(adjust).await.unwrap();
    let returned = pb::ReturnedAmount {
        original: Some(money(20)),
        returned: Some(money(4)),
    };
    shop.take_back("c1", &earned, Extent::Returned(returned))
        .await;
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    let told = shop.tier("c1").await;
    assert_eq!(
        (told.tier.as_str(), told.qualifying_points),
        ("Silver", 16_000_000)
    );

    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    let told = shop.tier("c1").await;
    assert_eq!((told.tier.as_str(), told.qualifying_points), ("Bronze", 0));
    assert_eq!(reasons(&mut shop).await, [Reversed, Earned, Enrolled]);
}
