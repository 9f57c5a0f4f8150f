//! What is done in one currency leaves the others as they are.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use super::travel::{COINS, MILES, STARS, TRAVEL, Travel, earn, redeem};
use crate::audit::{seal, success};
use crate::shop::Purchase;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_of_one_currency_are_not_spent_for_another(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.assert_told((0, 0, 0), (0, 0, 0)).await;
    travel.earn(100, COINS).await;
    let earned = travel.earn(30, MILES).await;
    let told = [
        earned.transaction.unwrap().points_currency,
        earned.lot.unwrap().points_currency,
        earned.balance.as_ref().unwrap().points_currency.clone(),
    ];
    assert_eq!(told, [MILES, MILES, MILES]);
    assert_eq!(earned.balance.unwrap().available, 30);

    let refused = travel.redeem(31, MILES).await;
    let details = refused.as_ref().unwrap_err();
    let info = common::error::ErrorInfo::of(details);
    assert_eq!(info.metadata["available"], "30");
    assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    let refused = travel.redeem(1, STARS).await;
    assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    travel.assert_told((100, 0, 0), (30, 0, 0)).await;

    let spent = travel.redeem(12, MILES).await.unwrap();
    assert_eq!(spent.balance.unwrap().available, 18);
    travel.assert_told((100, 0, 0), (18, 0, 0)).await;
    // Not named, or by its code: the first currency.
    travel.redeem(1, "").await.unwrap();
    travel.redeem(1, COINS).await.unwrap();
    travel.assert_told((98, 0, 0), (18, 0, 0)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn lists_tell_all_currencies_or_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(5, COINS).await;
    travel.earn(6, MILES).await;
    travel.shop.server.clock.advance(TimeDelta::hours(1));
    travel.earn(7, MILES).await;
    let told = |postings: Vec<pb::LedgerTransaction>| -> Vec<_> {
        let told = |it: pb::LedgerTransaction| (it.points_currency, it.points);
        postings.into_iter().map(told).collect()
    };
    let of = |code: &str, points: i64| (code.to_owned(), points);
    let all = [of(MILES, 7), of(MILES, 6), of(COINS, 5)];
    assert_eq!(told(travel.transactions("").await), all);
    assert_eq!(told(travel.transactions(MILES).await), all[..2]);
    assert_eq!(told(travel.transactions(COINS).await), all[2..]);
    assert!(travel.transactions(STARS).await.is_empty());

    let points = |lots: Vec<pb::Lot>| -> Vec<_> {
        let told = |it: pb::Lot| (it.points_currency, it.original);
        lots.into_iter().map(told).collect()
    };
    // Miles expire, coins never do.
    let all = [of(MILES, 6), of(MILES, 7), of(COINS, 5)];
    assert_eq!(points(travel.lots("c1", "").await), all);
    assert_eq!(points(travel.lots("c1", MILES).await), all[..2]);
    assert_eq!(points(travel.lots("c1", COINS).await), all[2..]);

    // A page goes on where the page before ended, in the same currency only.
    let page = |currency: &str, page_token: String| pb::ListTransactionsRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        points_currency: currency.to_owned(),
        page_size: 1,
        page_token,
        ..Default::default()
    };
    let client = &mut travel.shop.client;
    let first = client.list_transactions(page(MILES, String::new())).await;
    let token = first.unwrap().into_inner().next_page_token;
    let second = client.list_transactions(page(MILES, token.clone())).await;
    assert_eq!(told(second.unwrap().into_inner().transactions), all[..1]);
    let other = client.list_transactions(page(COINS, token)).await;
    assert_eq!(testkit::violations(&other.unwrap_err()), ["page_token"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn debt_in_one_currency_is_not_repaid_by_another(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let earned = travel.earn(10, MILES).await.transaction.unwrap();
    travel.redeem(10, MILES).await.unwrap();
    let reversed = travel.reverse(&earned.transaction_id).await.unwrap();
    assert_eq!(reversed.debt_incurred, 10);
    assert_eq!(reversed.balance.unwrap().points_currency, MILES);
    let reversal = reversed.transaction.unwrap();
    assert_eq!(reversal.rule, "reversal/direct/MILES");
    travel.earn(7, COINS).await;
    travel.assert_told((7, 0, 0), (0, 0, 10)).await;
    travel.redeem(3, COINS).await.unwrap();
    travel.earn(25, MILES).await;
    travel.assert_told((4, 0, 0), (15, 0, 0)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_takes_back_from_lots_of_its_currency_only(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(50, COINS).await;
    let earned = travel.earn(20, MILES).await.transaction.unwrap();
    let spent = travel.redeem(15, MILES).await.unwrap();
    travel.earn(4, MILES).await;
    let reversed = travel.reverse(&earned.transaction_id).await.unwrap();
    assert_eq!(reversed.debt_incurred, 11);
    travel.assert_told((50, 0, 0), (0, 0, 11)).await;
    // Refunded miles repay what is owed in miles.
    let spending = spent.transaction.unwrap().transaction_id;
    let refunded = travel.reverse(&spending).await.unwrap();
    assert_eq!(refunded.balance.unwrap().points_currency, MILES);
    travel.assert_told((50, 0, 0), (4, 0, 0)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_source_earns_once_in_each_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let mut rules = Vec::new();
    for currency in ["", MILES, STARS] {
        let request = earn("c1", 5, currency, "trip");
        let earned = travel.shop.try_earn(request).await.unwrap();
        rules.push(earned.transaction.unwrap().rule);
    }
    assert_eq!(rules, ["direct", "direct/MILES", "direct/STARS"]);
    for (customer_id, currency) in [("c1", MILES), ("c2", MILES), ("c1", ""), ("c2", COINS)] {
        let request = earn(customer_id, 5, currency, "trip");
        let refused = travel.shop.try_earn(request).await;
        assert_refused(refused, Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
    }
    let told = travel.told().await;
    let told: Vec<_> = told.iter().map(|it| it.1).collect();
    assert_eq!(told, [5, 5, 5]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_pins_points_of_its_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(50, COINS).await;
    travel.earn(30, MILES).await;
    let hold = travel.authorize(20, MILES).await.hold.unwrap();
    assert_eq!(hold.points_currency, MILES);
    travel.assert_told((50, 0, 0), (10, 20, 0)).await;
    let coins = travel.authorize(5, COINS).await.hold.unwrap();
    let capture = pb::CaptureHoldRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        hold_id: hold.hold_id.clone(),
        points: 15,
        r#final: true,
        ..Default::default()
    };
    let captured = travel.shop.client.capture_hold(capture).await.unwrap();
    let captured = captured.into_inner();
    assert_eq!(captured.hold.unwrap().points_currency, MILES);
    let balance = captured.balance.unwrap();
    assert_eq!(
        (balance.points_currency.as_str(), balance.available),
        (MILES, 15)
    );
    travel.assert_told((45, 5, 0), (15, 0, 0)).await;

    let list = |currency: &str| pb::ListHoldsRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        points_currency: currency.to_owned(),
        ..Default::default()
    };
    for (currency, expected) in [
        ("", vec![&coins.hold_id, &hold.hold_id]),
        (COINS, vec![&coins.hold_id]),
        (MILES, vec![&hold.hold_id]),
        (STARS, vec![]),
    ] {
        let listed = travel.shop.client.list_holds(list(currency)).await.unwrap();
        let holds = listed.into_inner().holds;
        let ids: Vec<_> = holds.iter().map(|hold| &hold.hold_id).collect();
        assert_eq!(ids, expected, "{currency}");
    }
    let void = pb::VoidHoldRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        hold_id: coins.hold_id,
        ..Default::default()
    };
    let voided = travel.shop.client.void_hold(void).await.unwrap();
    assert_eq!(voided.into_inner().balance.unwrap().points_currency, COINS);
    travel.assert_told((50, 0, 0), (15, 0, 0)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_stays_in_its_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(50, COINS).await;
    let made = travel.earn(30, MILES).await.lot.unwrap();
    let request = pb::TransferPointsRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 12,
        points_currency: MILES.to_owned(),
        ..Default::default()
    };
    let answer = travel.shop.client.transfer_points(request).await;
    let given = answer.unwrap().into_inner();
    let lots: Vec<_> = given
        .lots
        .iter()
        .map(|lot| (lot.points_currency.as_str(), lot.original, lot.expires_at))
        .collect();
    assert_eq!(lots, [(MILES, 12, made.expires_at)]);
    assert_eq!(given.received.unwrap().points_currency, MILES);
    travel.assert_told((50, 0, 0), (18, 0, 0)).await;
    let received = travel.balances_of("c2").await;
    let told: Vec<_> = received.iter().map(|it| it.available).collect();
    assert_eq!(told, [0, 12, 0]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_linked_batch_over_currencies_is_posted_whole_or_not_at_all(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(40, MILES).await;
    let batch = |spent: i64, request_id: &str| pb::BatchPostRequest {
        request_id: request_id.to_owned(),
        mode: pb::BatchMode::Linked.into(),
        items: [
            Item::Earn(earn("c1", 9, COINS, "both")),
            Item::Earn(earn("c1", 9, STARS, "both")),
            Item::Redeem(redeem(spent, MILES)),
            Item::Redeem(redeem(4, COINS)),
        ]
        .map(|item| pb::BatchPostItem { item: Some(item) })
        .to_vec(),
        ..Default::default()
    };
    let post = async |travel: &mut Travel, request: pb::BatchPostRequest| {
        let answer = travel.shop.client.batch_post(request).await;
        answer.unwrap().into_inner()
    };
    let refused = post(&mut travel, batch(41, "too-much")).await;
    let reason = |result: &pb::BatchPostResult| match &result.outcome {
        Some(Outcome::Refusal(refusal)) => refusal.reason.clone(),
        other => panic!("{other:?}"),
    };
    let reasons: Vec<_> = refused.results.iter().map(reason).collect();
    let fell = "LINKED_ITEM_FAILED";
    assert_eq!(reasons, [fell, fell, "INSUFFICIENT_POINTS", fell]);
    travel.assert_told((0, 0, 0), (40, 0, 0)).await;
    assert_eq!(travel.transactions("").await.len(), 1);

    let posted = post(&mut travel, batch(40, "just-right")).await;
    assert_eq!(posted.posted, 4);
    // Asked again, it answers the same and does nothing.
    assert_eq!(post(&mut travel, batch(40, "just-right")).await, posted);
    let told = travel.told().await;
    let told: Vec<_> = told.iter().map(|it| it.1).collect();
    assert_eq!(told, [5, 0, 9]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_currency_moves_the_tier(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let earned = travel.earn(1000, MILES).await.transaction.unwrap();
    let tier = travel.tier().await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Blue", 0));
    let dollars = Purchase::dollars("t1", "1998-06-30T00:00:00Z", 60);
    travel.shop.bought("c1", dollars).await;
    travel.shop.caught_up().await;
    let tier = travel.tier().await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Senator", 60)
    );
    // The purchase has earned in the first currency alone.
    travel.assert_told((60, 0, 0), (1000, 0, 0)).await;
    travel.reverse(&earned.transaction_id).await.unwrap();
    assert_eq!(travel.tier().await.qualifying_points, 60);
    travel.shop.voided("c1", dollars).await;
    travel.shop.caught_up().await;
    assert_eq!(travel.tier().await.tier, "Blue");
    travel.assert_told((0, 0, 0), (0, 0, 0)).await;
}

/// Points that count for no tier and have all repaid debt leave nothing of their lot to change.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_that_have_all_repaid_debt_can_be_cancelled_in_any_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let spent = travel.earn(50, MILES).await.transaction.unwrap();
    travel.redeem(50, MILES).await.unwrap();
    travel.reverse(&spent.transaction_id).await.unwrap();
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn("c1", 30, MILES, "trip")
    };
    travel.shop.try_earn(waiting.clone()).await.unwrap();
    travel.assert_told((0, 0, 0), (0, 0, 20)).await;
    let cancel = pb::CancelPendingRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        source_type: waiting.source_type,
        source_ref: waiting.source_ref,
        ..Default::default()
    };
    let told = travel.shop.client.cancel_pending(cancel).await;
    let told = told.unwrap().into_inner();
    assert_eq!(told.debt_incurred, 30);
    assert_eq!(told.lots[0].state(), pb::LotState::Cancelled);
    travel.assert_told((0, 0, 0), (0, 0, 50)).await;
    seal(&travel.shop).await;
    success(&travel.shop).await;
}
