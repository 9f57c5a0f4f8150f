//! Lots that can be spent for longer.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{NOW, Shop, at, earn};

const AUGUST: &str = "1998-08-01T00:00:00Z";
const OCTOBER: &str = "1998-10-01T00:00:00Z";

async fn with_lot(backend: Backend) -> (Shop, String) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earning = pb::EarnPointsRequest {
        expires_at: at(AUGUST),
        ..earn("c1", 30, "s1")
    };
    let lot = shop.try_earn(earning).await.unwrap().lot.unwrap();
    (shop, lot.lot_id)
}

fn extend(lot_id: &str, to: &str) -> pb::ExtendExpiryRequest {
    pb::ExtendExpiryRequest {
        customer_id: "c1".to_owned(),
        lot_id: lot_id.to_owned(),
        expires_at: at(to),
        reason: "a strike at the post".to_owned(),
        ..Default::default()
    }
}

async fn try_extend(
    shop: &mut Shop,
    request: pb::ExtendExpiryRequest,
) -> Result<pb::ExtendExpiryResponse, Status> {
    Ok(shop.client.extend_expiry(request).await?.into_inner())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_extended_lot_is_spendable_for_longer_and_that_is_recorded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, lot_id) = with_lot(backend).await;
    let request = pb::ExtendExpiryRequest {
        request_id: "r1".to_owned(),
        ..extend(&lot_id, OCTOBER)
    };
    let dry = pb::ExtendExpiryRequest {
        dry_run: true,
        ..request.clone()
    };
    let told = try_extend(&mut shop, dry).await.unwrap();
    assert_eq!(told.consistency_token, "");
    assert_eq!(shop.lots("c1").await[0].expires_at, at(AUGUST));

    let first = try_extend(&mut shop, request.clone()).await.unwrap();
    let again = try_extend(&mut shop, request).await.unwrap();
    assert_eq!(first, again);
    let recorded = first.extension.unwrap();
    assert_eq!(
        (recorded.from_expires_at, recorded.to_expires_at),
        (at(AUGUST), at(OCTOBER))
    );
    assert_eq!((recorded.extended_at, recorded.lot_id), (at(NOW), lot_id));
    let next = &first.balance.unwrap().next_expiries[0];
    assert_eq!((next.expires_at, next.points), (at(OCTOBER), 30));
    shop.server.clock.set(testkit::time(AUGUST));
    assert_eq!(shop.balance("c1").await, (30, 0, 0));
    shop.server.clock.set(testkit::time(OCTOBER));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    for statement in [
        "UPDATE expiry_extensions SET reason = 'another'",
        "DELETE FROM expiry_extensions",
    ] {
        let refused = shop.execute(statement).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn extensions_that_cannot_be_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut shop, lot_id) = with_lot(backend).await;
    for to in [NOW, AUGUST] {
        let refused = try_extend(&mut shop, extend(&lot_id, to)).await;
        assert_refused(refused, Code::FailedPrecondition, "EXPIRY_NOT_LATER");
    }
    let refused = try_extend(&mut shop, extend("nothing", OCTOBER)).await;
    assert_refused(refused, Code::NotFound, "LOT_NOT_FOUND");
    let status = shop
        .client
        .extend_expiry(pb::ExtendExpiryRequest::default());
    let fields = violations(&status.await.unwrap_err());
    assert_eq!(fields, ["customer_id", "lot_id", "expires_at", "reason"]);
    shop.server.clock.set(testkit::time(AUGUST));
    let refused = try_extend(&mut shop, extend(&lot_id, OCTOBER)).await;
    assert_refused(refused, Code::FailedPrecondition, "LOT_EXPIRED");
    shop.deleted("c1").await;
    shop.caught_up().await;
    let refused = try_extend(&mut shop, extend(&lot_id, OCTOBER)).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
}
