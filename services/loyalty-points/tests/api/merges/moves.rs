//! What goes to the survivor, and what comes back.

use api::loyalty::v1 as pb;
use pb::MemberState;
use pb::TransactionKind::{Earn, Merge, Redeem, Unmerge};
use rstest::rstest;
use testkit::Backend;

use super::*;

/// How many members have each tier, lowest first.
async fn by_tier(shop: &mut Shop) -> Vec<i64> {
    let summary = shop.summary().await;
    let members = summary.tiers.iter().map(|tier| tier.members);
    assert_eq!(members.clone().sum::<i64>(), summary.members);
    members.collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_and_history_go_to_the_survivor_and_come_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.bought("a", Purchase::dollars("t1", MARCH, 80)).await;
    shop.caught_up().await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("a", 30, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.redeem("a", 60).await.unwrap();
    shop.earn("b", 20, "b").await;
    let before = (
        open_lots(&mut shop, "a").await,
        open_lots(&mut shop, "b").await,
    );
    assert_eq!(before.0.iter().map(|(left, _)| left).sum::<i64>(), 50);
    assert_eq!(shop.tier("b").await.tier, "Bronze");
    assert_eq!(by_tier(&mut shop).await, [1, 1, 0]);

    let merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    assert_eq!(sums(&merged.moved), (50, 0));
    assert_eq!(merged.survivor_balances[0].available, 70);
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (70, 0, 0));
    let absorbed = member(&mut shop, "a").await;
    assert_eq!(
        (
            absorbed.state(),
            absorbed.merged_into.as_str(),
            absorbed.survivor_id.as_str()
        ),
        (MemberState::Merged, "b", "b")
    );
    // What was earned counts, spent or not: 110 and 20.
    let tier = shop.tier("b").await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 130)
    );
    assert_eq!(by_tier(&mut shop).await, [0, 1, 0]);
    let moved = open_lots(&mut shop, "b").await;
    for lot in &before.0 {
        assert!(moved.contains(lot), "{lot:?} in {moved:?}");
    }
    assert_eq!(kinds(&mut shop, "a").await, [Earn, Earn, Redeem, Merge]);
    assert_eq!(kinds(&mut shop, "b").await, [Earn, Merge]);
    for (of, other, points) in [("a", "b", -50), ("b", "a", 50)] {
        let posted = shop.transactions(of).await.remove(0);
        assert_eq!(
            (posted.counterparty_customer_id.as_str(), posted.points),
            (other, points)
        );
    }
    verify(&shop).await;

    let merge_id = merged.merge.unwrap().merge_id;
    let undone = unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((50, 0), (50, 0))
    );
    let after = (
        open_lots(&mut shop, "a").await,
        open_lots(&mut shop, "b").await,
    );
    assert_eq!(after, before);
    let tier = shop.tier("b").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 20));
    let tier = shop.tier("a").await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 110)
    );
    assert_eq!(by_tier(&mut shop).await, [1, 1, 0]);
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Active);
    assert_eq!(kinds(&mut shop, "b").await, [Earn, Merge, Unmerge]);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn debt_goes_along_is_repaid_and_comes_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    shop.redeem("a", 100).await.unwrap();
    shop.reverse("a", &earned.transaction_id).await.unwrap();
    shop.earn("b", 30, "b").await;
    assert_eq!(shop.balance("a").await, (0, 0, 100));

    let first = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (0, 0, 70));
    unmerge(&mut shop, &first).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 100));
    assert_eq!(shop.balance("b").await, (30, 0, 0));

    // What is earned on it repays it for good.
    let second = merge(&mut shop, "b", "a").await;
    shop.earn("b", 50, "more").await;
    assert_eq!(shop.balance("b").await, (0, 0, 20));
    verify(&shop).await;
    let undone = unmerge(&mut shop, &second).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((0, 100), (0, 50))
    );
    assert_eq!(shop.balance("a").await, (0, 0, 50));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;

    // The other way round: the survivor owes.
    let third = merge(&mut shop, "a", "b").await;
    assert_eq!(shop.balance("a").await, (0, 0, 20));
    unmerge(&mut shop, &third).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 50));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_survivor_has_spent_stays_spent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("a", 40, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.earn("b", 40, "b").await;
    let merge_id = merge(&mut shop, "b", "a").await;
    shop.redeem("b", 50).await.unwrap();
    let undone = unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((40, 0), (0, 0))
    );
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_passes_on_and_is_undone_in_any_order(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    for (id, points) in [("a", 100), ("b", 20), ("c", 3)] {
        shop.earn(id, points, id).await;
    }
    let a_into_b = merge(&mut shop, "b", "a").await;
    let b_into_c = merge(&mut shop, "c", "b").await;
    assert_eq!(shop.balance("c").await, (123, 0, 0));
    assert_eq!(shop.tier("c").await.qualifying_points, 123);
    let absorbed = member(&mut shop, "a").await;
    assert_eq!(
        (absorbed.merged_into.as_str(), absorbed.survivor_id.as_str()),
        ("b", "c")
    );
    shop.bought("a", Purchase::dollars("t1", MARCH, 7)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c").await, (130, 0, 0));
    verify(&shop).await;

    // In the middle: what came from the first goes back to it, past the second.
    let undone = unmerge(&mut shop, &a_into_b).await.unwrap();
    assert_eq!(sums(&undone.returned), (107, 0));
    assert_eq!(shop.balance("a").await, (107, 0, 0));
    assert_eq!(shop.balance("c").await, (23, 0, 0));
    assert_eq!(shop.tier("c").await.qualifying_points, 23);
    assert_eq!(shop.tier("a").await.qualifying_points, 107);
    verify(&shop).await;
    unmerge(&mut shop, &b_into_c).await.unwrap();
    assert_eq!(shop.balance("b").await, (20, 0, 0));
    assert_eq!(shop.balance("c").await, (3, 0, 0));
    verify(&shop).await;

    // And from the end: the first stays with the second.
    merge(&mut shop, "b", "a").await;
    let b_into_c = merge(&mut shop, "c", "b").await;
    unmerge(&mut shop, &b_into_c).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (127, 0, 0));
    assert_eq!(shop.balance("c").await, (3, 0, 0));
    assert_eq!(shop.tier("b").await.qualifying_points, 127);
    assert_eq!(member(&mut shop, "a").await.survivor_id, "b");
    verify(&shop).await;
}
