//! What is told where who took a member in was merged in turn.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::Backend;

use super::{authorize, merge, shop_with, sums, unmerge, unmerging, verify};
use crate::shop::{self, Shop};

async fn balance_after(shop: &mut Shop, customer_id: &str, token: &str) -> (i64, i64) {
    let read = pb::GetBalanceRequest {
        customer_id: customer_id.to_owned(),
        at_least: token.to_owned(),
        ..Default::default()
    };
    let read = shop.client.get_balance(read).await.unwrap().into_inner();
    let balance = read.balance.unwrap();
    (balance.available, balance.debt)
}

/// Who passed on to whom, and how many points and how much debt.
fn ways(steps: &[pb::PassedOn]) -> Vec<(&str, &str, (i64, i64))> {
    let ways = steps.iter().map(|step| {
        let (from, to) = (&step.from_customer_id, &step.to_customer_id);
        (from.as_str(), to.as_str(), sums(&step.moved))
    });
    ways.collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_undoes_a_merge_in_the_middle_is_told_what_went_on_and_whom_to_read(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    for (id, points) in [("a", 30), ("c", 5)] {
        shop.earn(id, points, id).await;
    }
    authorize(&mut shop, "a", 10).await;
    let a_into_b = merge(&mut shop, "b", "a").await;
    let b_into_c = merge(&mut shop, "c", "b").await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));

    let dry = pb::UnmergeMembersRequest {
        dry_run: true,
        ..unmerging(&a_into_b)
    };
    let dry = shop.client.unmerge_members(dry).await.unwrap().into_inner();
    assert_eq!(ways(&dry.passed_on), [("b", "c", (10, 0))]);
    let lot = &dry.passed_on[0].moved[0].lots[0];
    let named = (&*lot.from_lot_id, &*lot.lot_id, &*lot.transaction_id);
    assert_eq!(named, ("", "", ""));
    let tokens = [
        &dry.standing_consistency_token,
        &dry.passed_on[0].consistency_token,
    ];
    assert_eq!(tokens, ["", ""]);

    // What timed out went all the way before it came back.
    let undone = unmerge(&mut shop, &a_into_b).await.unwrap();
    assert_eq!(ways(&undone.passed_on), [("b", "c", (10, 0))]);
    let went = &undone.passed_on[0].moved[0].lots[0];
    let moved = &undone.moved[0].lots;
    assert!(moved.iter().any(|lot| lot.lot_id == went.from_lot_id));
    let returned = &undone.returned[0].lots;
    let back = returned.iter().find(|lot| lot.from_lot_id == went.lot_id);
    assert_eq!(back.unwrap().points, 10);
    assert_eq!(sums(&undone.returned), (30, 0));
    let token = undone.standing_consistency_token;
    assert_eq!(balance_after(&mut shop, "c", &token).await, (5, 0));

    // Nobody stands for who stands for itself.
    let undone = unmerge(&mut shop, &b_into_c).await.unwrap();
    assert_eq!(undone.standing_consistency_token, "");
    assert!(undone.passed_on.is_empty());
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_again_in_the_middle_is_told_where_it_goes_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    shop.earn("a", 30, "a").await;
    shop.earn("c", 3, "c").await;
    let earned = shop.earn("b", 20, "b").await.transaction.unwrap();
    shop.redeem("b", 20).await.unwrap();
    let all = pb::reverse_transaction_request::Extent::Points(20);
    shop.take_back("b", &earned.transaction_id, all).await;
    let a_into_b = merge(&mut shop, "b", "a").await;
    merge(&mut shop, "c", "b").await;
    assert_eq!(shop.balance("c").await, (13, 0, 0));

    let undone = unmerge(&mut shop, &a_into_b).await.unwrap();
    assert_eq!(sums(&undone.returned), (30, 0));
    assert_eq!(ways(&undone.passed_on), [("b", "c", (0, 20))]);
    let tokens = [
        undone.standing_consistency_token,
        undone.passed_on[0].consistency_token.clone(),
    ];
    for token in tokens {
        assert_eq!(balance_after(&mut shop, "c", &token).await, (0, 17));
    }
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_goes_on_nothing_is_done_to_others_of_the_chain(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    let mut held = Vec::new();
    for (id, hours) in [("a", 24), ("b", 1)] {
        shop.earn(id, 30, id).await;
        let request = shop::authorize(id, 10, hours * 3600);
        let reply = shop.client.authorize_hold(request).await.unwrap();
        held.push(reply.into_inner().hold.unwrap().hold_id);
    }
    merge(&mut shop, "b", "a").await;
    merge(&mut shop, "c", "b").await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let before = shop.transactions("b").await;

    let capture = pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: held[0].clone(),
        points: 4,
        ..Default::default()
    };
    let captured = shop.client.capture_hold(capture).await.unwrap();
    assert_eq!(ways(&captured.into_inner().passed_on), []);
    assert_eq!(shop.transactions("b").await, before);

    // Where something does, what has timed out on the way goes along.
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: held[0].clone(),
        ..Default::default()
    };
    let voided = shop.client.void_hold(void).await.unwrap().into_inner();
    assert_eq!(
        ways(&voided.passed_on),
        [("a", "b", (6, 0)), ("b", "c", (16, 0))]
    );
    assert_eq!(shop.balance("c").await, (56, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_undone_in_the_middle_when_what_it_gives_back_is_posted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    shop.earn("a", 30, "a").await;
    let a_into_b = merge(&mut shop, "b", "a").await;
    merge(&mut shop, "c", "b").await;
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);

    let undone = unmerge(&mut shop, &a_into_b).await.unwrap();
    let at = undone.merge.unwrap().unmerged_at;
    for id in ["a", "c"] {
        assert_eq!(shop.transactions(id).await[0].posted_at, at);
    }
    assert_eq!(undone.absorbed_balances[0].as_of, at);
}
