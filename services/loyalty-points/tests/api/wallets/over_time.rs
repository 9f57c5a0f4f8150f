//! Time treats each currency by its own rules.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use pb::TransactionKind::{Earn, Hold, Release, Reverse};
use rstest::rstest;
use testkit::Backend;

use super::travel::{COINS, MILES, STARS, TRAVEL, Travel, earn};
use crate::audit::success;
use crate::shop::{Purchase, at};
use crate::sweep::{notices, sweep};

/// Ten days after the start of every test.
const MILES_EXPIRE: &str = "1998-07-11T00:00:00Z";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_last_as_long_as_their_currency_says(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(10, COINS).await;
    let made = travel.earn(20, MILES).await.lot.unwrap();
    assert_eq!(made.expires_at, at(MILES_EXPIRE));
    let request = pb::AdjustPointsRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        points: 5,
        points_currency: MILES.to_owned(),
        reason_code: "GOODWILL".to_owned(),
        ..Default::default()
    };
    let given = travel.shop.client.adjust_points(request).await.unwrap();
    let given = given.into_inner();
    assert_eq!(given.lot.unwrap().expires_at, at(MILES_EXPIRE));
    assert_eq!(given.balance.unwrap().available, 25);

    let forecast = |currency: &str| pb::ForecastExpiryRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        points_currency: currency.to_owned(),
        horizon_days: 20,
        bucket_days: 20,
        ..Default::default()
    };
    for (currency, soon, later) in [(COINS, 0, 10), (MILES, 25, 0), (STARS, 0, 0)] {
        let told = travel.shop.client.forecast_expiry(forecast(currency)).await;
        let told = told.unwrap().into_inner();
        let bucket = told.buckets[0].points;
        assert_eq!((bucket, told.points_later), (soon, later), "{currency}");
        assert_eq!(told.points_currency, currency);
    }
    travel.shop.server.clock.advance(TimeDelta::days(10));
    travel.assert_told((10, 0, 0), (0, 0, 0)).await;
    assert!(travel.transactions(COINS).await.len() == 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_tells_of_every_currency_and_writes_off_each(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(20, MILES).await;
    let stars = pb::EarnPointsRequest {
        expires_at: at("1998-07-12T00:00:00Z"),
        ..earn("c1", 7, STARS, "gift")
    };
    travel.shop.try_earn(stars).await.unwrap();
    travel.authorize(5, MILES).await;
    travel.shop.server.clock.advance(TimeDelta::days(9));
    let swept = sweep(&travel.shop).await;
    let told = (swept.members, swept.holds_expired, swept.notices);
    assert_eq!((told, swept.points_expired), ((1, 1, 2), 0));
    let notices = notices(&travel.shop).await;
    let told: Vec<_> = notices
        .iter()
        .map(|notice| (notice.points_currency.as_str(), notice.points))
        .collect();
    assert_eq!(told, [(MILES, 20), (STARS, 7)]);
    travel.shop.server.clock.advance(TimeDelta::days(9));
    assert_eq!(sweep(&travel.shop).await.points_expired, 27);
    let written_off: Vec<_> = travel
        .transactions("")
        .await
        .into_iter()
        .filter(|posting| posting.kind() == pb::TransactionKind::Expire)
        .map(|posting| (posting.points_currency, posting.points))
        .collect();
    assert_eq!(
        written_off,
        [(STARS.to_owned(), -7), (MILES.to_owned(), -20)]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_event_that_points_of_several_currencies_wait_for_activates_each_in_its_own(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    for (points, currency) in [(10, COINS), (20, MILES)] {
        for source_ref in ["flight", "cruise"] {
            let request = pb::EarnPointsRequest {
                activates_on_event: true,
                ..earn("c1", points, currency, source_ref)
            };
            travel.shop.try_earn(request).await.unwrap();
        }
    }
    let request = pb::ActivatePendingRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "flight".to_owned(),
        ..Default::default()
    };
    let answer = travel.shop.client.activate_pending(request.clone()).await;
    let activated = answer.unwrap().into_inner();
    let lots: Vec<_> = activated
        .lots
        .iter()
        .map(|lot| (lot.points_currency.as_str(), lot.original, lot.expires_at))
        .collect();
    assert_eq!(lots, [(COINS, 10, None), (MILES, 20, at(MILES_EXPIRE))]);
    travel.assert_told((10, 0, 0), (20, 0, 0)).await;

    let cancel = pb::CancelPendingRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "cruise".to_owned(),
        ..Default::default()
    };
    let answer = travel.shop.client.cancel_pending(cancel).await;
    let cancelled = answer.unwrap().into_inner();
    let rules: Vec<_> = cancelled
        .transactions
        .iter()
        .map(|posting| (posting.rule.as_str(), posting.points))
        .collect();
    let expected = [("pending/direct", -10), ("pending/direct/MILES", -20)];
    assert_eq!(rules, expected);
    assert_eq!(cancelled.balance.unwrap().points_currency, MILES);
    let pending = travel.balances_of("c1").await;
    assert!(pending.iter().all(|balance| balance.pending == 0));
    let tier = travel.tier().await;
    assert_eq!(tier.qualifying_points, 10);
    let refused = travel.shop.client.activate_pending(request).await;
    testkit::assert_refused(
        refused,
        tonic::Code::FailedPrecondition,
        "ALREADY_ACTIVATED",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_timed_out_lets_go_whichever_currency_is_posted_to_next(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let spent = travel.earn(30, MILES).await.transaction.unwrap();
    let held = travel.authorize(20, MILES).await.hold.unwrap();
    // Of 30 miles 20 are held: 20 are owed once all 30 are taken back.
    let reversed = travel.reverse(&spent.transaction_id).await.unwrap();
    assert_eq!(reversed.debt_incurred, 20);
    travel.shop.server.clock.advance(TimeDelta::hours(2));
    travel.assert_told((0, 0, 0), (0, 0, 0)).await;
    travel.earn(1, COINS).await;
    let kinds: Vec<_> = travel
        .transactions("")
        .await
        .iter()
        .map(|posting| (posting.kind(), posting.points_currency.clone()))
        .collect();
    let expected = [
        (Earn, COINS),
        (Release, MILES),
        (Reverse, MILES),
        (Hold, MILES),
        (Earn, MILES),
    ];
    assert_eq!(kinds, expected.map(|(kind, code)| (kind, code.to_owned())));
    let get = pb::GetHoldRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        hold_id: held.hold_id,
        ..Default::default()
    };
    let hold = travel.shop.client.get_hold(get).await.unwrap();
    let hold = hold.into_inner().hold.unwrap();
    assert_eq!(hold.state(), pb::HoldState::Expired);
    assert_eq!(hold.points_currency, MILES);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_lot_is_extended_in_its_currency_and_the_past_is_told_by_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(10, COINS).await;
    let lot = travel.earn(20, MILES).await.lot.unwrap();
    let request = pb::ExtendExpiryRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        lot_id: lot.lot_id,
        expires_at: at("1998-09-01T00:00:00Z"),
        reason: "delay".to_owned(),
        ..Default::default()
    };
    let extended = travel.shop.client.extend_expiry(request).await.unwrap();
    let extended = extended.into_inner();
    assert_eq!(extended.extension.unwrap().points_currency, MILES);
    assert_eq!(extended.balance.unwrap().available, 20);
    let then = travel.shop.server.platform.now();
    travel.shop.server.clock.advance(TimeDelta::days(20));
    travel.redeem(15, MILES).await.unwrap();
    travel.assert_told((10, 0, 0), (5, 0, 0)).await;
    let past = pb::ListBalancesRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        as_of: Some(then.into()),
        ..Default::default()
    };
    let past = travel.shop.client.list_balances(past).await.unwrap();
    let past = past.into_inner().balances;
    let told: Vec<_> = past.iter().map(|it| it.available).collect();
    assert_eq!(told, [10, 20, 0]);
    for (currency, points) in [(MILES, 20), (COINS, 10)] {
        let many = pb::BatchGetBalancesRequest {
            program_id: TRAVEL.to_owned(),
            customer_ids: vec!["c1".to_owned(), "c2".to_owned()],
            points_currency: currency.to_owned(),
            as_of: Some(then.into()),
            ..Default::default()
        };
        let many = travel.shop.client.batch_get_balances(many).await.unwrap();
        let many = many.into_inner().balances;
        let told: Vec<_> = many
            .into_iter()
            .map(|member| member.balance.unwrap())
            .map(|balance| (balance.points_currency, balance.available))
            .collect();
        assert_eq!(
            told,
            [(currency.to_owned(), points), (currency.to_owned(), 0)]
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_earns_in_the_first_currency_whatever_was_let_go_before_it_in_its_batch(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let june = "1998-06-30T00:00:00Z";
    let returned = Purchase::dollars("t1", june, 60);
    travel.shop.bought("c1", returned).await;
    travel.shop.voided("c1", returned).await;
    travel.shop.caught_up().await;
    travel.earn(30, MILES).await;
    travel.authorize(20, MILES).await;
    travel.shop.server.clock.advance(TimeDelta::hours(2));
    // What is announced while nobody listens is applied at once: the second void lets the hold go and does no more.
    travel.shop.server.stop().await;
    travel.shop.voided("c1", returned).await;
    let kept = Purchase::dollars("t2", june, 5);
    travel.shop.bought("c1", kept).await;
    travel.shop.server = travel.shop.server.restart().await;
    travel.shop.client =
        pb::loyalty_service_client::LoyaltyServiceClient::new(travel.shop.server.channel());
    travel.shop.caught_up().await;
    travel.assert_told((5, 0, 0), (30, 0, 0)).await;
    // Balances are told by lots; the accounts are as they must be too.
    success(&travel.shop).await;
}
