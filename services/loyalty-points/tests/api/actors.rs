//! Who did what: the caller is recorded with everything that is posted on request, and nobody with what the service
//! does by itself.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::TransactionKind as Kind;
use pb::batch_post_item::Item;
use rstest::rstest;
use testkit::Backend;

use crate::audit;
use crate::shop::{NOW, Purchase, Shop, at, authorize, earn, redeem};

/// Whoever calls a server without authentication.
const CALLER: &str = "anonymous";

async fn two_members(backend: Backend) -> Shop {
    let shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    shop
}

/// Who is told with which kinds of postings of a member.
async fn actors(shop: &mut Shop, customer_id: &str) -> BTreeMap<(i32, String), usize> {
    let mut told = BTreeMap::new();
    for posting in shop.transactions(customer_id).await {
        *told.entry((posting.kind, posting.actor)).or_default() += 1;
    }
    told
}

fn expected(counts: &[(Kind, &str, usize)]) -> BTreeMap<(i32, String), usize> {
    let count = |(kind, actor, count): &(Kind, &str, usize)| {
        ((i32::from(*kind), (*actor).to_owned()), *count)
    };
    counts.iter().map(count).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_posting_made_on_request_tells_the_caller(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two_members(backend).await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let spent = shop.redeem("c1", 10).await.unwrap().transaction.unwrap();
    shop.reverse("c1", &spent.transaction_id).await.unwrap();
    for (source, settles) in [("s2", true), ("s3", false)] {
        let waiting = pb::EarnPointsRequest {
            activates_on_event: true,
            ..earn("c1", 5, source)
        };
        shop.try_earn(waiting).await.unwrap();
        let (customer_id, source_type) = ("c1".to_owned(), "promotion".to_owned());
        let source_ref = source.to_owned();
        if settles {
            let request = pb::ActivatePendingRequest {
                customer_id,
                source_type,
                source_ref,
                ..Default::default()
            };
            shop.client.activate_pending(request).await.unwrap();
        } else {
            let request = pb::CancelPendingRequest {
                customer_id,
                source_type,
                source_ref,
                ..Default::default()
            };
            shop.client.cancel_pending(request).await.unwrap();
        }
    }
    let transfer = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 7,
        ..Default::default()
    };
    shop.client.transfer_points(transfer).await.unwrap();
    for is_final in [true, false] {
        let held = shop
            .client
            .authorize_hold(authorize("c1", 20, 60))
            .await
            .unwrap();
        let hold = held.into_inner().hold.unwrap();
        assert_eq!(hold.actor, CALLER);
        let (customer_id, hold_id) = ("c1".to_owned(), hold.hold_id.clone());
        if is_final {
            let request = pb::CaptureHoldRequest {
                customer_id,
                hold_id,
                points: 5,
                r#final: true,
                ..Default::default()
            };
            shop.client.capture_hold(request).await.unwrap();
        } else {
            let request = pb::VoidHoldRequest {
                customer_id,
                hold_id,
                ..Default::default()
            };
            shop.client.void_hold(request).await.unwrap();
        }
        let request = pb::GetHoldRequest {
            customer_id: "c1".to_owned(),
            hold_id: hold.hold_id,
            ..Default::default()
        };
        let got = shop.client.get_hold(request).await.unwrap().into_inner();
        assert_eq!(got.hold.unwrap().actor, CALLER);
    }
    let items = [
        Item::Earn(earn("c1", 3, "s4")),
        Item::Redeem(redeem("c1", 2)),
    ];
    let item = |item| pb::BatchPostItem { item: Some(item) };
    let batch = pb::BatchPostRequest {
        items: items.into_iter().map(item).collect(),
        ..Default::default()
    };
    shop.client.batch_post(batch).await.unwrap();
    shop.reverse("c1", &earned.transaction_id).await.unwrap();

    let of_giver = expected(&[
        (Kind::Earn, CALLER, 4),
        (Kind::Redeem, CALLER, 2),
        (Kind::Refund, CALLER, 1),
        (Kind::Activate, CALLER, 1),
        (Kind::Cancel, CALLER, 1),
        (Kind::Transfer, CALLER, 1),
        (Kind::Hold, CALLER, 2),
        (Kind::Capture, CALLER, 1),
        (Kind::Release, CALLER, 2),
        (Kind::Reverse, CALLER, 1),
    ]);
    assert_eq!(actors(&mut shop, "c1").await, of_giver);
    let of_recipient = expected(&[(Kind::Transfer, CALLER, 1)]);
    assert_eq!(actors(&mut shop, "c2").await, of_recipient);

    let lot = shop.earn("c2", 9, "s9").await.lot.unwrap();
    let extend = pb::ExtendExpiryRequest {
        customer_id: "c2".to_owned(),
        lot_id: lot.lot_id,
        expires_at: at("2001-01-01T00:00:00Z"),
        reason: "a strike at the post".to_owned(),
        ..Default::default()
    };
    let extended = shop.client.extend_expiry(extend).await.unwrap();
    assert_eq!(extended.into_inner().extension.unwrap().actor, CALLER);
    audit::seal(&shop).await;
    audit::success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_does_by_itself_tells_nobody(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase::dollars("p1", NOW, 30);
    shop.bought("c1", purchase).await;
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    let expiring = pb::EarnPointsRequest {
        expires_at: at("1998-07-02T00:00:00Z"),
        ..earn("c1", 40, "s1")
    };
    shop.try_earn(expiring).await.unwrap();
    shop.client
        .authorize_hold(authorize("c1", 15, 60))
        .await
        .unwrap();
    shop.server.clock.set(testkit::time("1998-07-03T00:00:00Z"));
    let request = pb::SweepExpiryRequest::default();
    let mut swept = shop
        .client
        .sweep_expiry(request)
        .await
        .unwrap()
        .into_inner();
    while swept.message().await.unwrap().is_some() {}
    let told = actors(&mut shop, "c1").await;
    let by_itself = told.iter().filter(|((_, actor), _)| actor.is_empty());
    let by_itself: BTreeMap<_, _> = by_itself.map(|(of, count)| (of.clone(), *count)).collect();
    assert_eq!(
        by_itself,
        expected(&[
            (Kind::Earn, "", 1),
            (Kind::Reverse, "", 1),
            (Kind::Release, "", 1),
            (
                Kind::Expire,
                "",
                by_itself[&(Kind::Expire.into(), String::new())]
            ),
        ])
    );
}
