//! Purchases of members who were merged.

use rstest::rstest;
use testkit::Backend;

use super::*;
use crate::shop::NOW;
use crate::tier_policies::{policy, publish};

async fn moves(shop: &Shop) -> [Vec<(pb::TransactionKind, i64)>; 2] {
    [shop.moves("a").await, shop.moves("b").await]
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_is_known_touches_neither_its_member_nor_who_stands_for_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let purchase = Purchase::dollars("t1", NOW, 40);
    shop.bought("a", purchase).await;
    shop.caught_up().await;
    authorize(&mut shop, "a", 10).await;
    merge(&mut shop, "b", "a").await;
    authorize(&mut shop, "b", 10).await;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let before = moves(&shop).await;
    shop.bought("a", purchase).await;
    shop.caught_up().await;
    assert_eq!(moves(&shop).await, before);

    shop.voided("a", purchase).await;
    shop.caught_up().await;
    let after = moves(&shop).await;
    for (after, before) in after.iter().zip(&before) {
        assert!(after.len() > before.len(), "{after:?}");
    }
    shop.voided("a", purchase).await;
    shop.bought("a", purchase).await;
    shop.caught_up().await;
    assert_eq!(moves(&shop).await, after);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_purchase_earns_or_loses_is_with_the_survivor_at_the_same_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    merge(&mut shop, "b", "a").await;
    // Time goes on whenever somebody looks.
    shop.server.clock.tick(1_000);
    let purchase = Purchase::dollars("t1", MARCH, 40);
    let mut instants = Vec::new();
    for is_void in [false, true] {
        if is_void {
            shop.voided("a", purchase).await;
        } else {
            shop.bought("a", purchase).await;
        }
        shop.caught_up().await;
        let of_both = [shop.transactions("a").await, shop.transactions("b").await];
        for posting in of_both.iter().flatten() {
            instants.push(posting.posted_at.expect("always told"));
        }
    }
    instants.sort_unstable_by_key(|at| (at.seconds, at.nanos));
    instants.dedup();
    assert_eq!(instants.len(), 2, "{instants:#?}");
}

#[rstest]
#[case::by_spend(pb::TierMetric::Spend, [35_000_000, 35_500_000, 15_500_000, 15_000_000])]
#[case::by_frequency(pb::TierMetric::Frequency, [2, 3, 2, 1])]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_count_for_who_stands_for_their_member_as_long_as_that_is_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] metric: pb::TierMetric,
    #[case] expected: [i64; 4],
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let [together, with_less_than_a_point, without_the_first, alone] = expected;
    let by = pb::TierPolicy {
        metric: metric.into(),
        ..policy(together)
    };
    publish(&mut shop, by).await;
    let first = Purchase::dollars("t1", NOW, 20);
    let cents = Purchase {
        micros: 500_000,
        ..Purchase::dollars("t3", NOW, 0)
    };
    shop.bought("a", first).await;
    shop.bought("b", Purchase::dollars("t2", NOW, 15)).await;
    shop.caught_up().await;
    let told = async |shop: &mut Shop, customer_id: &str| {
        let tier = shop.tier(customer_id).await;
        (tier.tier, tier.qualifying_points)
    };
    let is = |tier: &str, amount: i64| (tier.to_owned(), amount);
    assert_eq!(told(&mut shop, "b").await, is("Bronze", alone));
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(told(&mut shop, "b").await, is("Silver", together));

    // Nothing is posted for it, and it counts.
    shop.bought("a", cents).await;
    shop.caught_up().await;
    assert_eq!(
        told(&mut shop, "b").await,
        is("Silver", with_less_than_a_point)
    );
    shop.voided("a", first).await;
    shop.caught_up().await;
    let after = told(&mut shop, "b").await;
    assert_eq!(after.1, without_the_first);
    shop.voided("a", cents).await;
    shop.caught_up().await;
    assert_eq!(told(&mut shop, "b").await, is("Bronze", alone));
    let last = shop.tier_history("b").await.remove(0);
    assert_eq!(last.reason(), pb::TierChangeReason::Reversed);
    shop.bought("a", Purchase::dollars("t4", NOW, 20)).await;
    shop.caught_up().await;
    assert_eq!(told(&mut shop, "b").await, is("Silver", together));

    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(told(&mut shop, "b").await, is("Bronze", alone));
    assert_eq!(told(&mut shop, "a").await.1, together - alone);
    verify(&shop).await;
}
