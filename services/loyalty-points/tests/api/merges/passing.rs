//! What is passed on, heard of, or happens at once.

use api::loyalty::v1 as pb;
use pb::MemberState;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use super::*;
use crate::tier_policies::{policy, publish};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_holds_let_go_and_late_purchases_go_on_to_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.bought("a", Purchase::dollars("t1", MARCH, 100)).await;
    shop.caught_up().await;
    let captured = authorize(&mut shop, "a", 30).await;
    let voided = authorize(&mut shop, "a", 20).await;
    let forgotten = authorize(&mut shop, "a", 10).await;
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("b").await, (40, 0, 0));

    let capture = pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: captured,
        points: 25,
        r#final: true,
        ..Default::default()
    };
    let answer = shop
        .client
        .capture_hold(capture)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.balance.unwrap().available, 0);
    assert_eq!(shop.balance("b").await, (45, 0, 0));
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: voided,
        ..Default::default()
    };
    shop.client.void_hold(void).await.unwrap();
    assert_eq!(shop.balance("b").await, (65, 0, 0));

    // The last one times out; the purchase is what notices.
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    shop.bought("a", Purchase::dollars("t2", MARCH, 7)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (82, 0, 0));
    assert_eq!(shop.tier("b").await.qualifying_points, 107);
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: forgotten,
        ..Default::default()
    };
    let refused = shop.client.void_hold(void).await;
    assert_refused(refused, Code::FailedPrecondition, "HOLD_EXPIRED");
    verify(&shop).await;

    // The void of an old purchase takes back what is left of it, and the rest is owed by who stands for both.
    shop.voided("a", Purchase::dollars("t1", MARCH, 100)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (0, 0, 18));
    assert_eq!(shop.tier("b").await.qualifying_points, 7);
    verify(&shop).await;
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 18));
    assert_eq!(shop.balance("b").await, (0, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hold_lets_go_is_with_the_survivor_at_the_same_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    let captured = authorize(&mut shop, "a", 30).await;
    let voided = authorize(&mut shop, "a", 20).await;
    merge(&mut shop, "b", "a").await;
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);

    let capture = pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: captured,
        points: 25,
        r#final: true,
        ..Default::default()
    };
    let captured = shop.client.capture_hold(capture).await.unwrap();
    let captured = captured.into_inner();
    let at = captured.transaction.unwrap().posted_at;
    assert_eq!(captured.balance.unwrap().as_of, at);
    assert_eq!(shop.transactions("b").await[0].posted_at, at);
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: voided,
        ..Default::default()
    };
    let voided = shop.client.void_hold(void).await.unwrap().into_inner();
    let at = voided.transaction.unwrap().posted_at;
    assert_eq!(voided.balance.unwrap().as_of, at);
    assert_eq!(shop.transactions("b").await[0].posted_at, at);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_tier_of_the_survivor_is_decided_where_something_goes_on_to_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    let hold_id = authorize(&mut shop, "a", 30).await;
    merge(&mut shop, "b", "a").await;
    assert_eq!(shop.tier("b").await.tier, "Bronze");
    publish(&mut shop, policy(50)).await;

    let capture = pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: hold_id.clone(),
        points: 10,
        ..Default::default()
    };
    shop.client.capture_hold(capture).await.unwrap();
    let reasons = |changes: &[pb::TierChange]| -> Vec<_> {
        changes.iter().map(pb::TierChange::reason).collect()
    };
    let before = shop.tier_history("b").await;
    assert_eq!(reasons(&before), [pb::TierChangeReason::Enrolled]);

    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id,
        ..Default::default()
    };
    let voided = shop.client.void_hold(void).await.unwrap().into_inner();
    assert_eq!(voided.passed_on.len(), 1);
    let after = shop.tier_history("b").await;
    let changed = pb::TierChangeReason::PolicyChanged;
    assert_eq!(reasons(&after), [changed, pb::TierChangeReason::Enrolled]);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merged_customers_are_merged_in_every_program_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 100, "a").await;
    shop.earn("b", 10, "b").await;
    for _ in 0..2 {
        announce(&shop, "m1", "b", "a").await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("b").await, (110, 0, 0));
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Merged);
    for _ in 0..2 {
        announce_undone(&shop, "m1", "b", "a").await;
        announce(&shop, "m1", "b", "a").await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (100, 0, 0));
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Active);
    assert_eq!(kinds(&mut shop, "a").await.len(), 3);

    // Heard of out of order, a merge that was undone has no effect.
    announce_undone(&shop, "m2", "b", "a").await;
    announce(&shop, "m2", "b", "a").await;
    shop.caught_up().await;
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    assert_eq!(kinds(&mut shop, "a").await.len(), 3);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merges_among_earnings_and_holds_lose_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 1_000, "a").await;
    shop.earn("b", 1_000, "b").await;
    let mut callers = tokio::task::JoinSet::new();
    for (n, id) in (0..8).flat_map(|n| [(n, "a"), (n, "b")]) {
        let mut client = shop.client.clone();
        callers.spawn(async move {
            let mut worth = 0;
            if let Ok(earned) = client.earn_points(earn(id, 10, &format!("{id}{n}"))).await {
                worth += earned.into_inner().transaction.unwrap().points;
            }
            if client.redeem_points(redeem(id, 3)).await.is_ok() {
                worth -= 3;
            }
            let hold = pb::AuthorizeHoldRequest {
                customer_id: id.to_owned(),
                points: 5,
                timeout: Some(prost_types::Duration {
                    seconds: 600,
                    nanos: 0,
                }),
                ..Default::default()
            };
            if let Ok(held) = client.authorize_hold(hold).await {
                let capture = pb::CaptureHoldRequest {
                    customer_id: id.to_owned(),
                    hold_id: held.into_inner().hold.unwrap().hold_id,
                    points: 2,
                    r#final: true,
                    ..Default::default()
                };
                client.capture_hold(capture).await.unwrap();
                worth -= 2;
            }
            worth
        });
    }
    let mut merger = shop.client.clone();
    let merging = tokio::spawn(async move {
        for _ in 0..3 {
            let merged = merger.merge_members(merging("b", "a")).await.unwrap();
            let merge_id = merged.into_inner().merge.unwrap().merge_id;
            merger.unmerge_members(unmerging(&merge_id)).await.unwrap();
        }
        merger.merge_members(merging("b", "a")).await.unwrap();
    });
    let worth: i64 = callers.join_all().await.into_iter().sum();
    merging.await.unwrap();
    let after = (shop.balance("a").await, shop.balance("b").await);
    assert_eq!(after, ((0, 0, 0), (2_000 + worth, 0, 0)));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_tells_what_went_on_to_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    let left = shop.lots("a").await.remove(0).lot_id;
    authorize(&mut shop, "a", 30).await;
    merge(&mut shop, "b", "a").await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));

    let foretold = swept_on(&shop, "", true).await;
    assert_eq!(foretold[0].consistency_token, "");
    let lots = &foretold[0].moved[0].lots;
    assert_eq!((lots[0].from_lot_id.as_str(), lots[0].points), (&*left, 30));
    assert_eq!(
        (lots[0].lot_id.as_str(), lots[0].transaction_id.as_str()),
        ("", "")
    );
    assert_eq!(shop.balance("b").await, (20, 0, 0));

    let told = swept_on(&shop, "r1", false).await;
    let step = &told[0];
    assert_eq!(
        (
            told.len(),
            step.from_customer_id.as_str(),
            step.to_customer_id.as_str()
        ),
        (1, "a", "b")
    );
    assert_eq!(sums(&step.moved), (30, 0));
    let read = pb::GetBalanceRequest {
        customer_id: "b".to_owned(),
        at_least: step.consistency_token.clone(),
        ..Default::default()
    };
    let read = shop.client.get_balance(read).await.unwrap().into_inner();
    assert_eq!(read.balance.unwrap().available, 50);
    let into = &step.moved[0].lots[0].lot_id;
    assert!(
        shop.lots("b")
            .await
            .iter()
            .any(|lot| lot.lot_id == *into && lot.remaining == 30)
    );
    assert_eq!(swept_on(&shop, "r1", false).await, told);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sweep_lets_go_is_with_the_survivor_at_the_same_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 50, "a").await;
    authorize(&mut shop, "a", 30).await;
    merge(&mut shop, "b", "a").await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);
    swept_on(&shop, "r1", false).await;
    let [left, let_go, ..] = &shop.transactions("a").await[..] else {
        panic!("nothing was let go");
    };
    let kinds = [left.kind(), let_go.kind()];
    assert_eq!(kinds, [TransactionKind::Merge, TransactionKind::Release]);
    let received = shop.transactions("b").await.remove(0);
    assert_eq!([left.posted_at, let_go.posted_at], [received.posted_at; 2]);
    assert_eq!(left.occurred_at, received.occurred_at);
}

/// What a sweep passes on from `a`, who alone has something due.
async fn swept_on(shop: &Shop, request_id: &str, dry_run: bool) -> Vec<pb::PassedOn> {
    let request = pb::SweepExpiryRequest {
        dry_run,
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let mut client = shop.client.clone();
    let mut told = client.sweep_expiry(request).await.unwrap().into_inner();
    let mut message = told.message().await.unwrap().unwrap();
    assert_eq!(message.swept.len(), 1);
    assert_eq!(message.swept[0].customer_id, "a");
    message.swept.remove(0).passed_on
}
