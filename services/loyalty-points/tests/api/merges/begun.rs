//! What was begun by a member before it was merged, what counts for tiers, and how it is explained and checked.

use api::loyalty::v1 as pb;
use pb::audit_service_client::AuditServiceClient;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use pb::reverse_transaction_request::Extent;
use pb::{DecisionStepKind as Step, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use super::{announce, merge, shop_with, unmerge, verify};
use crate::audit;
use crate::shop::{Purchase, Shop, at, earn};
use crate::tier_policies::{policy, publish};
use crate::wallets::travel::{COINS, MILES, STARS, TRAVEL, Travel};

const JUNE: &str = "1998-06-01T00:00:00Z";

async fn trace(shop: &Shop, posting: &pb::LedgerTransaction) -> Vec<(Step, i64)> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetDecisionTraceRequest {
        customer_id: posting.customer_id.clone(),
        transaction_id: posting.transaction_id.clone(),
        ..Default::default()
    };
    let traced = client.get_decision_trace(request).await.unwrap();
    let steps = traced.into_inner().steps;
    steps
        .iter()
        .map(|step| (step.kind(), step.points))
        .collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_that_wait_for_an_event_are_settled_with_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    for (points, source_ref) in [(50, "comes"), (120, "does not")] {
        let waiting = pb::EarnPointsRequest {
            activates_on_event: true,
            ..earn("a", points, source_ref)
        };
        shop.try_earn(waiting).await.unwrap();
    }
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("b").await, (0, 170, 0));
    let activation = |customer_id: &str| pb::ActivatePendingRequest {
        customer_id: customer_id.to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "comes".to_owned(),
        ..Default::default()
    };
    let refused = shop.client.activate_pending(activation("a")).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_MERGED");
    shop.client.activate_pending(activation("b")).await.unwrap();
    assert_eq!(shop.balance("b").await, (50, 120, 0));
    let refused = shop.client.activate_pending(activation("b")).await;
    assert_refused(refused, Code::FailedPrecondition, "ALREADY_ACTIVATED");
    assert_eq!(shop.tier("b").await.qualifying_points, 170);

    let cancellation = pb::CancelPendingRequest {
        customer_id: "b".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "does not".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(cancellation).await.unwrap();
    assert_eq!(shop.balance("b").await, (50, 0, 0));
    let tier = shop.tier("b").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 50));
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    verify(&shop).await;
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(shop.balance("a").await, (50, 0, 0));
    assert_eq!(shop.balance("b").await, (0, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_undone_also_where_what_repaid_debt_was_cancelled(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    // Who waits for points that repay what the other one owes.
    #[values(("a", "b"), ("b", "a"))] (waits, owes): (&str, &str),
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn(waits, 14, "trip")
    };
    shop.try_earn(waiting).await.unwrap();
    let earned = shop.earn(owes, 20, "spent").await.transaction.unwrap();
    shop.redeem(owes, 20).await.unwrap();
    let whole = pb::ReverseTransactionRequest {
        customer_id: owes.to_owned(),
        transaction_id: earned.transaction_id,
        policy: pb::ReversalPolicy::AllowDebt.into(),
        ..Default::default()
    };
    shop.client.reverse_transaction(whole).await.unwrap();
    assert_eq!(shop.balance(owes).await, (0, 0, 20));
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("b").await, (0, 0, 6));

    let cancel = pb::CancelPendingRequest {
        customer_id: "b".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "trip".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(cancel).await.unwrap();
    assert_eq!(shop.balance("b").await, (0, 0, 20));
    unmerge(&mut shop, &merge_id).await.unwrap();
    // What had repaid is owed again by who owed it, and what was cancelled was never anybody's.
    assert_eq!(shop.balance(waits).await, (0, 0, 0));
    assert_eq!(shop.balance(owes).await, (0, 0, 20));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_merged_member_earned_and_spent_is_taken_back_with_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    let spent = shop.redeem("a", 30).await.unwrap().transaction.unwrap();
    shop.earn("b", 10, "b").await;
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("b").await, (80, 0, 0));

    let refunded = shop.reverse("b", &spent.transaction_id).await.unwrap();
    assert_eq!(refunded.balance.unwrap().available, 110);
    let reversed = shop.reverse("b", &earned.transaction_id).await.unwrap();
    assert_eq!(reversed.transaction.unwrap().customer_id, "a");
    assert_eq!(reversed.balance.unwrap().available, 10);
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    assert_eq!(shop.tier("b").await.qualifying_points, 10);
    let refused = shop.reverse("b", &earned.transaction_id).await;
    assert_refused(refused, Code::FailedPrecondition, "ALREADY_REVERSED");
    let refused = shop.reverse("b", "unknown").await;
    assert_refused(refused, Code::NotFound, "TRANSACTION_NOT_FOUND");
    verify(&shop).await;
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_of_both_count_by_spend_and_frequency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values((pb::TierMetric::Spend, 1_000_000), (pb::TierMetric::Frequency, 1))] (metric, each): (
        pb::TierMetric,
        i64,
    ),
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let by = pb::TierPolicy {
        metric: metric.into(),
        ..policy(2 * each)
    };
    publish(&mut shop, by).await;
    for (id, customer_id) in [("t1", "a"), ("t2", "b")] {
        shop.bought(customer_id, Purchase::dollars(id, JUNE, 1))
            .await;
    }
    shop.caught_up().await;
    assert_eq!(shop.tier("b").await.qualifying_points, each);
    let merge_id = merge(&mut shop, "b", "a").await;
    let tier = shop.tier("b").await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 2 * each)
    );
    // Less than a point, and counts all the same.
    let cents = Purchase {
        micros: 500_000,
        ..Purchase::dollars("t3", JUNE, 0)
    };
    shop.bought("a", cents).await;
    shop.caught_up().await;
    let more = if each == 1 { 1 } else { 500_000 };
    assert_eq!(shop.tier("b").await.qualifying_points, 2 * each + more);
    let request = pb::RecalculateTiersRequest {
        dry_run: true,
        ..Default::default()
    };
    let mut recalculated = shop
        .client
        .recalculate_tiers(request)
        .await
        .unwrap()
        .into_inner();
    while let Some(page) = recalculated.message().await.unwrap() {
        assert_eq!(page.changes, []);
    }
    verify(&shop).await;
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(shop.tier("a").await.qualifying_points, each + more);
    assert_eq!(shop.tier("b").await.qualifying_points, each);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn postings_of_a_merge_are_explained_and_stated(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    shop.redeem("a", 100).await.unwrap();
    shop.reverse("a", &earned.transaction_id).await.unwrap();
    shop.earn("b", 130, "b").await;
    shop.server.clock.advance(chrono::TimeDelta::hours(1));
    let merge_id = merge(&mut shop, "b", "a").await;
    let left = shop.transactions("a").await.remove(0);
    assert_eq!((left.kind(), left.points), (TransactionKind::Merge, 100));
    assert_eq!(trace(&shop, &left).await, [(Step::Passed, 100)]);
    let arrived = shop.transactions("b").await.remove(0);
    assert_eq!(
        (arrived.kind(), arrived.points),
        (TransactionKind::Merge, -100)
    );
    assert_eq!(
        trace(&shop, &arrived).await,
        [(Step::Owed, 100), (Step::Repaid, 100)]
    );
    let statement = pb::GetStatementRequest {
        customer_id: "b".to_owned(),
        from: at("1998-07-01T00:30:00Z"),
        to: at("1998-07-01T01:30:00Z"),
        ..Default::default()
    };
    let told = shop
        .client
        .get_statement(statement)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.opening.unwrap().points, 130);
    assert_eq!(told.closing.unwrap().points, 30);

    unmerge(&mut shop, &merge_id).await.unwrap();
    let given = shop.transactions("b").await.remove(0);
    assert_eq!(
        (given.kind(), given.points),
        (TransactionKind::Unmerge, 100)
    );
    assert_eq!(
        trace(&shop, &given).await,
        [
            (Step::Returned, 100),
            (Step::Owed, 100),
            (Step::Passed, 100)
        ]
    );
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merged_member_who_has_anything_is_found(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 100, "a").await;
    let statement = "UPDATE members SET merged_into = 'b', survivor = 'b' WHERE customer_id = 'a'";
    audit::tamper(&shop, "members", statement).await;
    audit::seal(&shop).await;
    let found = audit::divergence(&shop).await;
    assert_eq!(
        (found.kind(), found.customer_id.as_str()),
        (pb::DivergenceKind::Balance, "a")
    );
    // And nobody is merged into one who is merged.
    let circle = "UPDATE members SET merged_into = 'a', survivor = 'a' WHERE customer_id = 'b'";
    assert!(shop.execute(circle).await.is_err());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merged_customer_joins_no_further_program(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let program = pb::CreateProgramRequest {
        program: Some(crate::programs::program("second")),
        ..Default::default()
    };
    shop.client.create_program(program).await.unwrap();
    announce(&shop, "m1", "b", "a").await;
    shop.caught_up().await;
    let enroll = pb::EnrollMemberRequest {
        program_id: "second".to_owned(),
        customer_id: "a".to_owned(),
        ..Default::default()
    };
    let refused = shop.client.enroll_member(enroll).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_MERGED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_currency_is_merged_for_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(100, COINS).await;
    let earned = travel.earn(40, MILES).await.transaction.unwrap();
    travel.redeem(40, MILES).await.unwrap();
    travel.reverse(&earned.transaction_id).await.unwrap();
    travel.earn(7, STARS).await;
    let request = pb::MergeMembersRequest {
        program_id: TRAVEL.to_owned(),
        survivor_id: "c2".to_owned(),
        absorbed_id: "c1".to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    };
    let merged = travel.shop.client.merge_members(request).await.unwrap();
    let merged = merged.into_inner();
    let told = |moved: &[pb::MovedPoints]| -> Vec<(String, i64, i64)> {
        let told = |it: &pb::MovedPoints| (it.points_currency.clone(), it.points, it.debt);
        let mut told: Vec<_> = moved.iter().map(told).collect();
        told.sort();
        told
    };
    let all = [(COINS, 100, 0), (MILES, 0, 40), (STARS, 7, 0)];
    let all = all.map(|(code, points, debt)| (code.to_owned(), points, debt));
    assert_eq!(told(&merged.moved), all);
    let balances = |balances: Vec<pb::Balance>| -> Vec<_> {
        let told = |it: pb::Balance| (it.available, it.debt);
        balances.into_iter().map(told).collect()
    };
    assert_eq!(
        balances(merged.survivor_balances),
        [(100, 0), (0, 40), (7, 0)]
    );
    assert_eq!(balances(travel.balances_of("c1").await), [(0, 0); 3]);
    verify(&travel.shop).await;

    let request = pb::UnmergeMembersRequest {
        program_id: TRAVEL.to_owned(),
        merge_id: merged.merge.unwrap().merge_id,
        reason: "they are two".to_owned(),
        ..Default::default()
    };
    let undone = travel.shop.client.unmerge_members(request).await.unwrap();
    let undone = undone.into_inner();
    assert_eq!(
        (told(&undone.moved), told(&undone.returned)),
        (all.to_vec(), all.to_vec())
    );
    assert_eq!(
        balances(undone.absorbed_balances),
        [(100, 0), (0, 40), (7, 0)]
    );
    assert_eq!(balances(travel.balances_of("c2").await), [(0, 0); 3]);
    verify(&travel.shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_takes_back_what_a_merged_member_earned_is_at_one_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    let earned = shop.transactions("a").await.remove(0).transaction_id;
    merge(&mut shop, "b", "a").await;
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);
    let reverse = pb::ReverseTransactionRequest {
        customer_id: "b".to_owned(),
        transaction_id: earned,
        ..Default::default()
    };
    let items = [
        Item::Earn(earn("b", 10, "before")),
        Item::Reverse(reverse),
        Item::Earn(earn("b", 20, "after")),
    ];
    let items = items.map(|item| pb::BatchPostItem { item: Some(item) });
    let batch = pb::BatchPostRequest {
        items: items.into(),
        ..Default::default()
    };
    let told = shop.client.batch_post(batch).await.unwrap().into_inner();
    let at = told
        .results
        .into_iter()
        .map(|it| match it.outcome.unwrap() {
            Outcome::Earn(it) => it.transaction.unwrap().posted_at,
            Outcome::Reverse(it) => it.transaction.unwrap().posted_at,
            other => panic!("{other:#?}"),
        });
    let at: Vec<_> = at.collect();
    assert_eq!(at, [at[0]; 3]);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_reversal_names_no_lot_that_it_would_make(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    let earned = shop.transactions("a").await.remove(0).transaction_id;
    merge(&mut shop, "b", "a").await;
    let extend = pb::ExtendExpiryRequest {
        customer_id: "b".to_owned(),
        lot_id: shop.lots("b").await.remove(0).lot_id,
        expires_at: at("2001-01-01T00:00:00Z"),
        reason: "for the wait".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();
    let reverse = pb::ReverseTransactionRequest {
        customer_id: "b".to_owned(),
        transaction_id: earned,
        policy: pb::ReversalPolicy::WithinBalance.into(),
        extent: Some(Extent::Points(20)),
        dry_run: true,
        ..Default::default()
    };
    let told = shop.client.reverse_transaction(reverse).await.unwrap();
    let steps = told.into_inner().passed_on;
    let lots = steps.iter().flat_map(|step| &step.moved[0].lots);
    let names = lots.map(|lot| [lot.from_lot_id.as_str(), lot.lot_id.as_str()]);
    let names: Vec<_> = names.collect();
    let came = shop.lots("b").await.remove(0).lot_id;
    assert_eq!(names, [[came.as_str(), ""], ["", ""]]);
}
