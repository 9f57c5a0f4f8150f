//! What is told of each lot that goes over, and of what comes back of it.

use api::loyalty::v1 as pb;
use pb::TransactionKind::{Merge, Unmerge};
use rstest::rstest;
use testkit::Backend;

use super::*;

const AUGUST: &str = "1998-08-01T00:00:00Z";
const OCTOBER: &str = "1998-10-01T00:00:00Z";

/// Each lot with what is left of it, by its id.
async fn left(shop: &mut Shop, customer_id: &str) -> Vec<(String, i64)> {
    let lots = shop.lots(customer_id).await;
    let open = lots.into_iter().filter(|lot| lot.remaining > 0);
    let mut left: Vec<_> = open.map(|lot| (lot.lot_id, lot.remaining)).collect();
    left.sort();
    left
}

/// The lots that points left, or went into.
fn told(moved: &[pb::MovedPoints], id: fn(&pb::MovedLot) -> &String) -> Vec<(String, i64)> {
    let lots = moved.iter().flat_map(|moved| &moved.lots);
    let mut told: Vec<_> = lots.map(|lot| (id(lot).clone(), lot.points)).collect();
    told.sort();
    told
}

fn from(lot: &pb::MovedLot) -> &String {
    &lot.from_lot_id
}

fn into(lot: &pb::MovedLot) -> &String {
    &lot.lot_id
}

/// The one posting that received all of it is the latest of a kind in the ledger.
async fn assert_received(
    shop: &mut Shop,
    customer_id: &str,
    moved: &[pb::MovedPoints],
    kind: TransactionKind,
) {
    let latest = shop.transactions(customer_id).await.remove(0);
    assert_eq!(latest.kind(), kind);
    let lots = moved.iter().flat_map(|moved| &moved.lots);
    for lot in lots {
        assert_eq!(lot.transaction_id, latest.transaction_id);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_lot_can_be_followed_there_and_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let soon = pb::EarnPointsRequest {
        expires_at: at(AUGUST),
        ..earn("a", 30, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.earn("a", 50, "late").await;
    shop.redeem("a", 10).await.unwrap();
    let before = left(&mut shop, "a").await;
    assert_eq!(before.iter().map(|(_, left)| left).sum::<i64>(), 70);

    let request = pb::MergeMembersRequest {
        request_id: "merge".to_owned(),
        ..merging("b", "a")
    };
    let merged = try_merge(&mut shop, request.clone()).await.unwrap();
    assert_eq!(told(&merged.moved, from), before);
    assert_eq!(told(&merged.moved, into), left(&mut shop, "b").await);
    assert_received(&mut shop, "b", &merged.moved, Merge).await;
    assert_eq!(try_merge(&mut shop, request).await.unwrap(), merged);

    // What expires first is spent first, and what is left of it comes back to where it was.
    shop.redeem("b", 5).await.unwrap();
    let went = left(&mut shop, "b").await;
    let request = pb::UnmergeMembersRequest {
        request_id: "unmerge".to_owned(),
        ..unmerging(&merged.merge.unwrap().merge_id)
    };
    let undone = shop.client.unmerge_members(request.clone()).await.unwrap();
    let undone = undone.into_inner();
    assert_eq!(undone.moved, merged.moved);
    assert_eq!(told(&undone.returned, from), went);
    let after = left(&mut shop, "a").await;
    assert_eq!(told(&undone.returned, into), after);
    let ids = |lots: &[(String, i64)]| -> Vec<_> { lots.iter().map(|lot| lot.0.clone()).collect() };
    assert_eq!(ids(&after), ids(&before));
    assert_received(&mut shop, "a", &undone.returned, Unmerge).await;
    let again = shop.client.unmerge_members(request).await.unwrap();
    assert_eq!(again.into_inner(), undone);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_lot_that_was_extended_meanwhile_comes_back_as_a_new_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let soon = pb::EarnPointsRequest {
        expires_at: at(AUGUST),
        ..earn("a", 30, "soon")
    };
    let earned = shop.try_earn(soon).await.unwrap().lot.unwrap();
    let merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    let arrived = merged.moved[0].lots[0].lot_id.clone();
    let extend = pb::ExtendExpiryRequest {
        customer_id: "b".to_owned(),
        lot_id: arrived.clone(),
        expires_at: at(OCTOBER),
        reason: "for longer".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();

    let merge_id = merged.merge.unwrap().merge_id;
    let dry = pb::UnmergeMembersRequest {
        dry_run: true,
        ..unmerging(&merge_id)
    };
    let dry = shop.client.unmerge_members(dry).await.unwrap().into_inner();
    let nameless = pb::MovedLot {
        from_lot_id: arrived.clone(),
        points: 30,
        ..Default::default()
    };
    assert_eq!(dry.returned[0].lots, [nameless]);
    let undone = unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(told(&undone.returned, from), [(arrived, 30)]);
    let back = left(&mut shop, "a").await;
    assert_eq!(told(&undone.returned, into), back);
    assert_ne!(back[0].0, earned.lot_id);
    assert_received(&mut shop, "a", &undone.returned, Unmerge).await;
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_merge_names_no_lot_that_is_not_there(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 30, "a").await.lot.unwrap();
    let dry = pb::MergeMembersRequest {
        dry_run: true,
        ..merging("b", "a")
    };
    let dry = try_merge(&mut shop, dry).await.unwrap();
    let nameless = pb::MovedLot {
        from_lot_id: earned.lot_id,
        points: 30,
        ..Default::default()
    };
    assert_eq!(dry.moved[0].lots, [nameless]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hold_lets_go_after_the_merge_is_told_when_it_is_undone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 30, "a").await.lot.unwrap();
    authorize(&mut shop, "a", 10).await;
    let merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    assert_eq!(sums(&merged.moved), (20, 0));
    // It times out, which nobody notices before the merge is undone.
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let undone = unmerge(&mut shop, &merged.merge.unwrap().merge_id)
        .await
        .unwrap();
    let lot_id = earned.lot_id;
    assert_eq!(
        told(&undone.moved, from),
        [(lot_id.clone(), 10), (lot_id.clone(), 20)]
    );
    let lots = &undone.moved[0].lots;
    assert!(lots.iter().all(|lot| !lot.transaction_id.is_empty()));
    assert_ne!(lots[0].transaction_id, lots[1].transaction_id);
    assert_eq!(told(&undone.moved, into), told(&undone.returned, from));
    assert_eq!(
        told(&undone.returned, into),
        [(lot_id.clone(), 10), (lot_id, 20)]
    );
    assert_eq!(shop.balance("a").await, (30, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_unmerge_names_no_lot_that_it_would_make_of_what_timed_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 30, "a").await.lot.unwrap();
    authorize(&mut shop, "a", 10).await;
    let merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    let merge_id = merged.merge.unwrap().merge_id;
    let went = merged.moved[0].lots[0].clone();
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let dry = pb::UnmergeMembersRequest {
        dry_run: true,
        ..unmerging(&merge_id)
    };
    let dry = shop.client.unmerge_members(dry).await.unwrap().into_inner();
    let nameless = pb::MovedLot {
        from_lot_id: earned.lot_id.clone(),
        points: 10,
        ..Default::default()
    };
    let [lots, back] = [&dry.moved[0].lots, &dry.returned[0].lots];
    assert_eq!(lots.len(), 2);
    assert!(
        lots.contains(&went) && lots.contains(&nameless),
        "{lots:#?}"
    );
    let returned = |from_lot_id: &str, points| pb::MovedLot {
        from_lot_id: from_lot_id.to_owned(),
        lot_id: earned.lot_id.clone(),
        points,
        ..Default::default()
    };
    assert_eq!(back.len(), 2);
    assert!(back.contains(&returned("", 10)), "{back:#?}");
    assert!(back.contains(&returned(&went.lot_id, 20)), "{back:#?}");
}
