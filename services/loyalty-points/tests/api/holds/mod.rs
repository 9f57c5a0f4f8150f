//! Points set aside.

mod ends;
mod kept;

use api::loyalty::v1 as pb;
use tonic::Status;

use crate::shop::{self, Shop, at};

fn authorize(customer_id: &str, points: i64, seconds: i64) -> pb::AuthorizeHoldRequest {
    pb::AuthorizeHoldRequest {
        reason: "checkout".to_owned(),
        ..shop::authorize(customer_id, points, seconds)
    }
}

fn capture(hold_id: &str, points: i64) -> pb::CaptureHoldRequest {
    pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: hold_id.to_owned(),
        points,
        ..Default::default()
    }
}

async fn hold(shop: &mut Shop, points: i64) -> String {
    let held = shop
        .client
        .authorize_hold(authorize("c1", points, 3600))
        .await;
    held.unwrap().into_inner().hold.unwrap().hold_id
}

async fn try_capture(
    shop: &mut Shop,
    request: pb::CaptureHoldRequest,
) -> Result<pb::CaptureHoldResponse, Status> {
    Ok(shop.client.capture_hold(request).await?.into_inner())
}

async fn void(shop: &mut Shop, hold_id: &str) -> Result<pb::VoidHoldResponse, Status> {
    let request = pb::VoidHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: hold_id.to_owned(),
        ..Default::default()
    };
    Ok(shop.client.void_hold(request).await?.into_inner())
}

async fn get(shop: &mut Shop, hold_id: &str) -> pb::Hold {
    let request = pb::GetHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: hold_id.to_owned(),
        ..Default::default()
    };
    let got = shop.client.get_hold(request).await.unwrap();
    got.into_inner().hold.unwrap()
}

/// Available, held, debt.
async fn balance(shop: &mut Shop, as_of: Option<&str>) -> (i64, i64, i64) {
    let request = pb::GetBalanceRequest {
        customer_id: "c1".to_owned(),
        as_of: as_of.and_then(at),
        ..Default::default()
    };
    let got = shop.client.get_balance(request).await.unwrap().into_inner();
    let balance = got.balance.unwrap();
    (balance.available, balance.held, balance.debt)
}
