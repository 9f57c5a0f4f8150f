//! How holds end: captured, voided, timed out.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use pb::{HoldState, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused, time};
use tonic::Code;

use super::{authorize, balance, capture, get, hold, try_capture, void};
use crate::shop::{Purchase, Shop, at, earn};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_cannot_be_spent_otherwise(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let late = shop.earn("c1", 100, "late").await.lot.unwrap();
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 30, "soon")
    };
    let soon = shop.try_earn(soon).await.unwrap().lot.unwrap();

    let request = authorize("c1", 50, 3600);
    let held = shop
        .client
        .authorize_hold(request)
        .await
        .unwrap()
        .into_inner();
    let (hold, posted) = (held.hold.unwrap(), held.transaction.unwrap());
    assert_eq!(
        (hold.state(), hold.points, hold.held),
        (HoldState::Authorized, 50, 50)
    );
    assert_eq!(
        (hold.expires_at, hold.closed_at),
        (at("1998-07-01T01:00:00Z"), None)
    );
    let mut pins: Vec<_> = hold
        .lots
        .iter()
        .map(|pin| (&pin.lot_id, pin.held))
        .collect();
    pins.sort_by_key(|(_, held)| *held);
    assert_eq!(pins, [(&late.lot_id, 20), (&soon.lot_id, 30)]);
    assert_eq!((posted.kind(), posted.points), (TransactionKind::Hold, 0));
    assert_eq!(
        posted.entries.iter().map(|entry| entry.points).sum::<i64>(),
        0
    );
    let after = held.balance.unwrap();
    assert_eq!((after.available, after.held), (80, 50));
    assert_eq!(balance(&mut shop, None).await, (80, 50, 0));

    let refused = shop.redeem("c1", 81).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(details.error_info().unwrap().metadata["available"], "80");
    let refused = shop.client.authorize_hold(authorize("c1", 81, 3600)).await;
    assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    shop.redeem("c1", 80).await.unwrap();
    assert_eq!(balance(&mut shop, None).await, (0, 50, 0));
    assert_eq!(get(&mut shop, &hold.hold_id).await, hold);
    let summary = shop.summary().await;
    assert_eq!((summary.points_outstanding, summary.points_held), (0, 50));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_captured_in_parts_and_a_final_one_lets_the_rest_go(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let id = hold(&mut shop, 60).await;

    let captured = try_capture(&mut shop, capture(&id, 25)).await.unwrap();
    let (after, posted) = (captured.hold.unwrap(), captured.transaction.unwrap());
    assert_eq!(
        (after.state(), after.held, after.captured),
        (HoldState::Authorized, 35, 25)
    );
    assert_eq!(
        (posted.kind(), posted.points),
        (TransactionKind::Capture, -25)
    );
    assert_eq!(captured.allocations[0].points, 25);

    let refused = try_capture(&mut shop, capture(&id, 36)).await;
    let details = assert_refused(refused, Code::FailedPrecondition, "HOLD_EXCEEDED");
    assert_eq!(details.error_info().unwrap().metadata["held"], "35");
    assert_eq!(balance(&mut shop, None).await, (40, 35, 0));

    let last = pb::CaptureHoldRequest {
        r#final: true,
        ..capture(&id, 10)
    };
    let captured = try_capture(&mut shop, last).await.unwrap();
    let after = captured.hold.unwrap();
    assert_eq!(
        (after.state(), after.held, after.captured, after.released),
        (HoldState::Captured, 0, 35, 25)
    );
    assert_eq!(captured.balance.unwrap().available, 65);
    assert_eq!(balance(&mut shop, None).await, (65, 0, 0));
    assert_eq!(get(&mut shop, &id).await, after);

    let again = try_capture(&mut shop, capture(&id, 1)).await;
    assert_refused(again, Code::FailedPrecondition, "HOLD_CAPTURED");
    assert_refused(
        void(&mut shop, &id).await,
        Code::FailedPrecondition,
        "HOLD_CAPTURED",
    );

    // What is captured to the last point needs no final.
    let id = hold(&mut shop, 5).await;
    let whole = try_capture(&mut shop, capture(&id, 5)).await.unwrap();
    assert_eq!(whole.hold.unwrap().state(), HoldState::Captured);
    let kinds = shop.moves("c1").await;
    assert_eq!(
        kinds,
        [
            (TransactionKind::Capture, -5),
            (TransactionKind::Hold, 0),
            (TransactionKind::Release, 0),
            (TransactionKind::Capture, -10),
            (TransactionKind::Capture, -25),
            (TransactionKind::Hold, 0),
            (TransactionKind::Earn, 100),
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_voided_hold_gives_the_points_back_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let id = hold(&mut shop, 60).await;
    let voided = void(&mut shop, &id).await.unwrap();
    let after = voided.hold.unwrap();
    assert_eq!((after.state(), after.released), (HoldState::Voided, 60));
    assert_eq!(voided.balance.unwrap().available, 100);
    assert_refused(
        void(&mut shop, &id).await,
        Code::FailedPrecondition,
        "HOLD_VOIDED",
    );
    let refused = try_capture(&mut shop, capture(&id, 1)).await;
    assert_refused(refused, Code::FailedPrecondition, "HOLD_VOIDED");
    assert_refused(
        void(&mut shop, "nothing").await,
        Code::NotFound,
        "HOLD_NOT_FOUND",
    );
    assert_eq!(balance(&mut shop, None).await, (100, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_times_out_by_the_clock_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let id = hold(&mut shop, 60).await;
    let last_moment = time("1998-07-01T01:00:00Z") - TimeDelta::microseconds(1);
    shop.server.clock.set(last_moment);
    assert_eq!(balance(&mut shop, None).await, (40, 60, 0));
    assert_eq!(
        balance(&mut shop, Some("1998-07-01T01:00:00Z")).await,
        (100, 0, 0)
    );

    shop.server.clock.set(time("1998-07-01T01:00:00Z"));
    assert_eq!(balance(&mut shop, None).await, (100, 0, 0));
    let expired = get(&mut shop, &id).await;
    assert_eq!(
        (expired.state(), expired.held, expired.released),
        (HoldState::Expired, 0, 60)
    );
    assert_eq!(expired.closed_at, at("1998-07-01T01:00:00Z"));
    let summary = shop.summary().await;
    assert_eq!((summary.points_outstanding, summary.points_held), (100, 0));
    let refused = try_capture(&mut shop, capture(&id, 1)).await;
    assert_refused(refused, Code::FailedPrecondition, "HOLD_EXPIRED");
    assert_refused(
        void(&mut shop, &id).await,
        Code::FailedPrecondition,
        "HOLD_EXPIRED",
    );
    assert_eq!(shop.transactions("c1").await.len(), 2);

    // The next posting notices; nothing that anybody can read changes.
    shop.server.clock.set(time("1998-07-05T00:00:00Z"));
    shop.redeem("c1", 90).await.unwrap();
    assert_eq!(get(&mut shop, &id).await, expired);
    let release = &shop.transactions("c1").await[1];
    assert_eq!(release.kind(), TransactionKind::Release);
    assert_eq!(release.occurred_at, at("1998-07-01T01:00:00Z"));
    assert_eq!(balance(&mut shop, None).await, (10, 0, 0));
    for (instant, told) in [
        ("1998-07-01T00:30:00Z", (40, 60, 0)),
        ("1998-07-01T01:00:00Z", (100, 0, 0)),
        ("1998-07-04T00:00:00Z", (100, 0, 0)),
    ] {
        assert_eq!(balance(&mut shop, Some(instant)).await, told, "{instant}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_let_go_after_their_lot_expired_expire_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let short = pb::EarnPointsRequest {
        expires_at: at("1998-07-01T00:30:00Z"),
        ..earn("c1", 60, "s1")
    };
    shop.try_earn(short).await.unwrap();
    let (first, second) = (hold(&mut shop, 40).await, hold(&mut shop, 20).await);
    shop.server.clock.set(time("1998-07-01T00:45:00Z"));
    assert_eq!(balance(&mut shop, None).await, (0, 60, 0));

    // They can still be captured.
    try_capture(&mut shop, capture(&first, 30)).await.unwrap();
    let voided = void(&mut shop, &first).await.unwrap();
    assert_eq!(voided.balance.unwrap().available, 0);
    assert_eq!(balance(&mut shop, None).await, (0, 20, 0));
    shop.server.clock.set(time("1998-07-01T01:00:00Z"));
    assert_eq!(balance(&mut shop, None).await, (0, 0, 0));
    shop.earn("c1", 1, "s2").await;
    assert_eq!(get(&mut shop, &second).await.state(), HoldState::Expired);
    let lot = shop
        .lots("c1")
        .await
        .into_iter()
        .find(|lot| lot.original == 60)
        .unwrap();
    assert_eq!((lot.held, lot.consumed, lot.expired), (0, 30, 30));
    assert_eq!(balance(&mut shop, None).await, (1, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hold_lets_go_repays_debt_whenever_it_is_noticed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    shop.earn("c1", 50, "s2").await;
    hold(&mut shop, 120).await;
    let reversed = shop.reverse("c1", &earned.transaction_id).await.unwrap();
    assert_eq!(reversed.debt_incurred, 70);
    assert_eq!(balance(&mut shop, None).await, (0, 120, 70));

    shop.server.clock.set(time("1998-07-02T00:00:00Z"));
    assert_eq!(balance(&mut shop, None).await, (50, 0, 0));
    let before = shop.summary().await;
    assert_eq!((before.points_outstanding, before.points_debt), (50, 0));
    let request = pb::GetProgramSummaryRequest {
        as_of: at("1998-07-01T12:00:00Z"),
        ..Default::default()
    };
    let dated = shop.client.get_program_summary(request).await.unwrap();
    let dated = dated.into_inner();
    assert_eq!((dated.points_outstanding, dated.points_debt), (50, 0));
    assert_eq!(
        balance(&mut shop, Some("1998-07-01T12:00:00Z")).await,
        (50, 0, 0)
    );
    shop.earn("c1", 1, "s3").await;
    assert_eq!(balance(&mut shop, None).await, (51, 0, 0));
    assert_eq!(
        balance(&mut shop, Some("1998-07-01T12:00:00Z")).await,
        (50, 0, 0)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_and_its_void_notice_what_has_timed_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("t1", "1998-07-01T00:00:00Z", 80);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let id = hold(&mut shop, 80).await;
    shop.server.clock.set(time("1998-07-03T00:00:00Z"));
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!(get(&mut shop, &id).await.state(), HoldState::Expired);
    assert_eq!(balance(&mut shop, None).await, (0, 0, 0));
}
