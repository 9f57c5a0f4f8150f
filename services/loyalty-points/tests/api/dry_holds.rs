//! Holds as they would be.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::shop::Shop;

fn authorize(points: i64) -> pb::AuthorizeHoldRequest {
    pb::AuthorizeHoldRequest {
        request_id: "r1".to_owned(),
        customer_id: "c1".to_owned(),
        points,
        dry_run: true,
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_hold_tells_what_it_would_pin_and_names_no_hold(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let lot = shop.earn("c1", 100, "s1").await.lot.unwrap();
    let too_much = shop.client.authorize_hold(authorize(101)).await;
    assert_refused(too_much, Code::FailedPrecondition, "INSUFFICIENT_POINTS");

    let told = shop.client.authorize_hold(authorize(60)).await.unwrap();
    let told = told.into_inner();
    let (hold, posting) = (told.hold.unwrap(), told.transaction.unwrap());
    assert_eq!((hold.held, &hold.lots[0].lot_id), (60, &lot.lot_id));
    assert_eq!(told.balance.unwrap().available, 40);
    let names = [
        &hold.hold_id,
        &posting.transaction_id,
        &told.consistency_token,
    ];
    assert!(names.iter().all(|name| name.is_empty()), "{names:?}");
    for entry in &posting.entries {
        assert_eq!((entry.hold_id.as_str(), &entry.lot_id), ("", &lot.lot_id));
    }
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 1);

    // The id is still free for the real one, of which parts can be captured and voided dry.
    let real = pb::AuthorizeHoldRequest {
        dry_run: false,
        ..authorize(60)
    };
    let held = shop.client.authorize_hold(real).await.unwrap().into_inner();
    let hold_id = held.hold.unwrap().hold_id;
    let capture = pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: hold_id.clone(),
        points: 20,
        r#final: true,
        dry_run: true,
        ..Default::default()
    };
    let told = shop
        .client
        .capture_hold(capture)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.balance.unwrap().available, 80);
    let void = pb::VoidHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id,
        dry_run: true,
        ..Default::default()
    };
    let told = shop.client.void_hold(void).await.unwrap().into_inner();
    assert_eq!(told.balance.unwrap().available, 100);
    assert_eq!(shop.balance("c1").await, (40, 0, 0));
}
