//! Purchases of members who were merged.

use rstest::rstest;
use testkit::Backend;

use super::*;
use crate::shop::NOW;

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
