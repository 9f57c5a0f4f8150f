//! Lots that are extended while members are merged.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::Backend;

use super::{merging, shop_with, try_merge, unmerge, verify};
use crate::shop::{at, earn};

const AUGUST: &str = "1998-08-01T00:00:00Z";
const OCTOBER: &str = "1998-10-01T00:00:00Z";
const NOVEMBER: &str = "1998-11-01T00:00:00Z";

/// The three ways in which points that wait for an event go on.
enum Then {
    /// The merges are undone, and then it comes.
    Undone,
    /// It comes, and then the merges are undone.
    Comes,
    /// Some are taken back before it comes.
    TakenBack,
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_lot_that_waits_is_extended_with_those_that_it_left_from(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(Then::Undone, Then::Comes, Then::TakenBack)] then: Then,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        expires_at: at(AUGUST),
        ..earn("a", 30, "trip")
    };
    let earned = shop.try_earn(waiting).await.unwrap();
    let first = earned.lot.unwrap();
    let a_to_b = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    let b_to_c = try_merge(&mut shop, merging("c", "b")).await.unwrap();
    let [second, third] = [&a_to_b, &b_to_c].map(|it| it.moved[0].lots[0].lot_id.clone());
    let extend = pb::ExtendExpiryRequest {
        customer_id: "c".to_owned(),
        lot_id: third.clone(),
        expires_at: at(OCTOBER),
        reason: "for longer".to_owned(),
        ..Default::default()
    };
    let dry = pb::ExtendExpiryRequest {
        dry_run: true,
        ..extend.clone()
    };
    let dry = shop.client.extend_expiry(dry).await.unwrap().into_inner();
    assert_eq!(dry.of_same_earning.len(), 2);
    assert!(dry.of_same_earning.iter().all(|it| it.revision == 0));
    let extended = shop.client.extend_expiry(extend).await.unwrap();
    let extended = extended.into_inner().of_same_earning;
    let of = |it: &pb::ExpiryExtension| (it.customer_id.clone(), it.lot_id.clone());
    let whose = |customer_id: &str, lot_id: &str| (customer_id.to_owned(), lot_id.to_owned());
    assert_eq!(
        extended.iter().map(of).collect::<Vec<_>>(),
        [whose("a", &first.lot_id), whose("b", &second)]
    );
    for customer_id in ["a", "b", "c"] {
        let lots = shop.lots(customer_id).await;
        assert_eq!(lots[0].expires_at, at(OCTOBER), "{customer_id}");
    }
    verify(&shop).await;

    let event = |customer_id: &str| pb::ActivatePendingRequest {
        customer_id: customer_id.to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "trip".to_owned(),
        ..Default::default()
    };
    let part = pb::ReverseTransactionRequest {
        customer_id: "c".to_owned(),
        transaction_id: earned.transaction.unwrap().transaction_id,
        extent: Some(pb::reverse_transaction_request::Extent::Points(10)),
        ..Default::default()
    };
    let [a_to_b, b_to_c] = [a_to_b, b_to_c].map(|it| it.merge.unwrap().merge_id);
    let left = match then {
        Then::Undone => {
            for merge_id in [a_to_b, b_to_c] {
                unmerge(&mut shop, &merge_id).await.unwrap();
            }
            shop.client.activate_pending(event("a")).await.unwrap();
            30
        }
        Then::Comes => {
            shop.client.activate_pending(event("c")).await.unwrap();
            assert_eq!(shop.balance("c").await, (30, 0, 0));
            for merge_id in [b_to_c, a_to_b] {
                unmerge(&mut shop, &merge_id).await.unwrap();
            }
            30
        }
        Then::TakenBack => {
            shop.client.reverse_transaction(part).await.unwrap();
            // Again, by the lot that they are in now.
            let lots = shop.lots("c").await;
            let fourth = lots.iter().find(|lot| lot.remaining == 20).unwrap();
            let extend = pb::ExtendExpiryRequest {
                customer_id: "c".to_owned(),
                lot_id: fourth.lot_id.clone(),
                expires_at: at(NOVEMBER),
                reason: "for longer".to_owned(),
                ..Default::default()
            };
            let again = shop.client.extend_expiry(extend).await.unwrap();
            assert!(again.into_inner().of_same_earning.len() > 2);
            shop.client.activate_pending(event("c")).await.unwrap();
            for merge_id in [a_to_b, b_to_c] {
                unmerge(&mut shop, &merge_id).await.unwrap();
            }
            20
        }
    };
    assert_eq!(shop.balance("a").await, (left, 0, 0));
    for customer_id in ["b", "c"] {
        assert_eq!(shop.balance(customer_id).await, (0, 0, 0));
    }
    // It is the one that was earned, and no new one.
    let lots = shop.lots("a").await;
    assert_eq!(lots.len(), 1);
    assert_eq!((&lots[0].lot_id, lots[0].remaining), (&first.lot_id, left));
    verify(&shop).await;
}

/// Extended, points cannot go back into the lot that they left: they come back as a new one.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_as_another_lot_stays_of_its_earning(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(false, true)] is_undone: bool,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.try_earn(earn("a", 50, "trip")).await.unwrap();
    let own = shop.try_earn(earn("b", 100, "own")).await.unwrap();
    let mut merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    let extend = pb::ExtendExpiryRequest {
        customer_id: "b".to_owned(),
        lot_id: merged.moved[0].lots[0].lot_id.clone(),
        expires_at: at("2001-08-01T00:00:00Z"),
        reason: "for longer".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();
    let take_back = |points| pb::ReverseTransactionRequest {
        customer_id: "b".to_owned(),
        transaction_id: earned.transaction.clone().unwrap().transaction_id,
        policy: pb::ReversalPolicy::WithinBalance.into(),
        extent: Some(pb::reverse_transaction_request::Extent::Points(points)),
        ..Default::default()
    };
    if is_undone {
        let merge_id = merged.merge.unwrap().merge_id;
        unmerge(&mut shop, &merge_id).await.unwrap();
        merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    } else {
        shop.client
            .reverse_transaction(take_back(10))
            .await
            .unwrap();
    }
    let left = if is_undone { 50 } else { 40 };
    // As much of it as is left, and nothing of what is not of it.
    let reversed = shop
        .client
        .reverse_transaction(take_back(20))
        .await
        .unwrap();
    let reversed = reversed.into_inner();
    assert_eq!((reversed.recovered.len(), reversed.debt_incurred), (1, 0));
    assert_eq!(shop.balance("b").await, (100 + left - 20, 0, 0));
    let lots = shop.lots("b").await;
    let is_own = |lot: &&pb::Lot| lot.lot_id == own.lot.as_ref().unwrap().lot_id;
    assert_eq!(lots.iter().find(is_own).unwrap().remaining, 100);
    verify(&shop).await;
    unmerge(&mut shop, &merged.merge.unwrap().merge_id)
        .await
        .unwrap();
    assert_eq!(shop.balance("a").await, (left - 20, 0, 0));
    assert_eq!(shop.balance("b").await, (100, 0, 0));
    verify(&shop).await;
}
