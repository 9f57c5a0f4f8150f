//! What answers tell of points that are passed on.

use api::loyalty::v1 as pb;
use common::token::ConsistencyToken;
use rstest::rstest;
use testkit::Backend;

use super::{authorize, merge, shop_with, sums, verify};
use crate::shop::earn;
use crate::wallets::travel::{COINS, MILES, TRAVEL, Travel};

/// From whom to whom, points and debt, and whose the token is.
fn told(passed_on: &[pb::PassedOn]) -> Vec<(&str, &str, (i64, i64), String)> {
    let mut steps = Vec::new();
    for it in passed_on {
        let (from, to) = (it.from_customer_id.as_str(), it.to_customer_id.as_str());
        steps.push((from, to, sums(&it.moved), whose(&it.consistency_token)));
    }
    steps
}

fn whose(token: &str) -> String {
    let token = ConsistencyToken::decode(token).unwrap();
    token.map_or_else(String::new, |token| token.customer_id.to_string())
}

fn step<'a>(
    from: &'a str,
    to: &'a str,
    what: (i64, i64),
) -> (&'a str, &'a str, (i64, i64), String) {
    (from, to, what, to.to_owned())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_back_what_a_merged_member_earned_is_told_what_came_and_went(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    merge(&mut shop, "b", "a").await;
    merge(&mut shop, "c", "b").await;
    shop.redeem("c", 30).await.unwrap();
    let part = |points, dry_run| pb::ReverseTransactionRequest {
        customer_id: "c".to_owned(),
        transaction_id: earned.transaction_id.clone(),
        extent: Some(pb::reverse_transaction_request::Extent::Points(points)),
        dry_run,
        ..Default::default()
    };
    let mut tried = shop.client.reverse_transaction(part(20, true)).await;
    let tried = tried.as_mut().unwrap().get_mut();
    assert_eq!(tried.passed_on.len(), 3);
    for step in &tried.passed_on {
        let lot = &step.moved[0].lots[0];
        let is_back = step.to_customer_id == "a";
        assert_eq!(lot.lot_id.is_empty(), !is_back);
        assert_eq!(
            (lot.transaction_id.as_str(), step.consistency_token.as_str()),
            ("", "")
        );
    }

    let reversed = shop.client.reverse_transaction(part(20, false)).await;
    let reversed = reversed.unwrap().into_inner();
    // Who was asked is told the token of its own ledger.
    assert_eq!(whose(&reversed.consistency_token), "c");
    assert_eq!(
        told(&reversed.passed_on),
        [
            step("c", "a", (70, 0)),
            step("a", "b", (50, 0)),
            step("b", "c", (50, 0))
        ]
    );
    let lots = shop.lots("c").await;
    let into = &reversed.passed_on[2].moved[0].lots[0];
    assert!(
        lots.iter()
            .any(|lot| lot.lot_id == into.lot_id && lot.remaining == 50)
    );
    assert_eq!(
        shop.transactions("c").await[0].transaction_id,
        into.transaction_id
    );

    // What is missing for the rest is owed by who stands for all.
    let reversed = shop.client.reverse_transaction(part(80, false)).await;
    let reversed = reversed.unwrap().into_inner();
    assert_eq!(
        told(&reversed.passed_on),
        [
            step("c", "a", (50, 0)),
            step("a", "b", (0, 30)),
            step("b", "c", (0, 30))
        ]
    );
    assert_eq!(shop.balance("c").await, (0, 0, 30));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hold_of_a_merged_member_lets_go_is_told_with_where_it_went(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 100, "a").await;
    let captured = authorize(&mut shop, "a", 30).await;
    let voided = authorize(&mut shop, "a", 20).await;
    merge(&mut shop, "b", "a").await;
    let capture = |points, is_final| pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: captured.clone(),
        points,
        r#final: is_final,
        ..Default::default()
    };
    let some = shop.client.capture_hold(capture(5, false)).await;
    assert_eq!(some.unwrap().into_inner().passed_on, []);
    let rest = shop.client.capture_hold(capture(10, true)).await;
    let rest = rest.unwrap().into_inner();
    assert_eq!(whose(&rest.consistency_token), "a");
    assert_eq!(told(&rest.passed_on), [step("a", "b", (15, 0))]);
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: voided,
        ..Default::default()
    };
    let voided = shop.client.void_hold(void).await.unwrap().into_inner();
    assert_eq!(told(&voided.passed_on), [step("a", "b", (20, 0))]);
    assert_eq!(shop.balance("b").await, (85, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_event_settles_what_all_who_are_one_person_earned_for_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(false, true)] comes: bool,
) {
    let mut travel = Travel::open(backend).await;
    for (customer_id, currency) in [("c1", COINS), ("c2", MILES)] {
        let waiting = pb::EarnPointsRequest {
            program_id: TRAVEL.to_owned(),
            points_currency: currency.to_owned(),
            activates_on_event: true,
            ..earn(customer_id, 50, "trip")
        };
        travel.shop.try_earn(waiting).await.unwrap();
    }
    let request = pb::MergeMembersRequest {
        program_id: TRAVEL.to_owned(),
        survivor_id: "c2".to_owned(),
        absorbed_id: "c1".to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    };
    travel.shop.client.merge_members(request).await.unwrap();
    let client = &mut travel.shop.client;
    let (transactions, passed_on) = if comes {
        let request = pb::ActivatePendingRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c2".to_owned(),
            source_type: "promotion".to_owned(),
            source_ref: "trip".to_owned(),
            ..Default::default()
        };
        let told = client.activate_pending(request).await.unwrap().into_inner();
        assert_eq!(whose(&told.consistency_token), "c2");
        (told.transactions, told.passed_on)
    } else {
        let request = pb::CancelPendingRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c2".to_owned(),
            source_type: "promotion".to_owned(),
            source_ref: "trip".to_owned(),
            ..Default::default()
        };
        let told = client.cancel_pending(request).await.unwrap().into_inner();
        assert_eq!(whose(&told.consistency_token), "c2");
        (told.transactions, told.passed_on)
    };
    let of = |it: &pb::LedgerTransaction| (it.customer_id.clone(), it.points_currency.clone());
    let of: Vec<_> = transactions.iter().map(of).collect();
    let all = [("c2", MILES), ("c1", COINS)];
    assert_eq!(of, all.map(|(id, code)| (id.to_owned(), code.to_owned())));
    let ways: Vec<_> = passed_on
        .iter()
        .map(|it| (it.from_customer_id.as_str(), it.to_customer_id.as_str()))
        .collect();
    let back = ("c2", "c1");
    let expected: &[_] = if comes {
        &[back, ("c1", "c2")]
    } else {
        &[back]
    };
    assert_eq!(ways, expected);
    let balances = travel.balances_of("c2").await;
    let told: Vec<_> = balances
        .iter()
        .map(|it| (it.available, it.pending))
        .collect();
    let each = if comes { 50 } else { 0 };
    assert_eq!(told, [(each, 0), (each, 0), (0, 0)]);
    verify(&travel.shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_back_for_another_one_lets_go_what_has_timed_out_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn("a", 7, "trip")
    };
    shop.try_earn(waiting).await.unwrap();
    shop.earn("b", 50, "b").await;
    merge(&mut shop, "b", "a").await;
    authorize(&mut shop, "b", 20).await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    shop.reverse("b", &earned.transaction_id).await.unwrap();
    assert_eq!(shop.balance("b").await, (50, 7, 0));
    authorize(&mut shop, "b", 20).await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let activate = pb::ActivatePendingRequest {
        customer_id: "b".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "trip".to_owned(),
        ..Default::default()
    };
    shop.client.activate_pending(activate).await.unwrap();
    assert_eq!(shop.balance("b").await, (57, 0, 0));
    verify(&shop).await;
}
