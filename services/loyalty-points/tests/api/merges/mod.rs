//! Members who are the same person.

mod begun;
mod bought;
mod chains;
mod extended;
mod lots;
mod meeting;
mod moves;
mod passing;
mod refused;
mod told;

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use pb::TransactionKind;
use testkit::Backend;
use tonic::Status;

use crate::audit;
use crate::shop::{Purchase, Shop, at, earn, redeem};

pub const MARCH: &str = "1998-03-01T00:00:00Z";

/// All that is posted is sealed and follows.
pub async fn verify(shop: &Shop) {
    audit::seal(shop).await;
    audit::success(shop).await;
}

/// Points and debt that were moved, in the first currency.
pub fn sums(moved: &[pb::MovedPoints]) -> (i64, i64) {
    let first = moved.iter().find(|moved| moved.points_currency == "PTS");
    first.map_or((0, 0), |moved| (moved.points, moved.debt))
}

/// A shop with these members.
pub async fn shop_with(backend: Backend, ids: &[&str]) -> Shop {
    let shop = Shop::open(backend).await;
    for id in ids {
        shop.created(id).await;
    }
    shop.caught_up().await;
    shop
}

pub fn merging(survivor: &str, absorbed: &str) -> pb::MergeMembersRequest {
    pb::MergeMembersRequest {
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    }
}

pub async fn try_merge(
    shop: &mut Shop,
    request: pb::MergeMembersRequest,
) -> Result<pb::MergeMembersResponse, Status> {
    Ok(shop.client.merge_members(request).await?.into_inner())
}

/// Merges; returns the merge's id.
pub async fn merge(shop: &mut Shop, survivor: &str, absorbed: &str) -> String {
    let merged = try_merge(shop, merging(survivor, absorbed)).await.unwrap();
    merged.merge.unwrap().merge_id
}

pub fn unmerging(merge_id: &str) -> pb::UnmergeMembersRequest {
    pb::UnmergeMembersRequest {
        merge_id: merge_id.to_owned(),
        reason: "they are two".to_owned(),
        ..Default::default()
    }
}

pub async fn unmerge(
    shop: &mut Shop,
    merge_id: &str,
) -> Result<pb::UnmergeMembersResponse, Status> {
    let request = unmerging(merge_id);
    Ok(shop.client.unmerge_members(request).await?.into_inner())
}

pub async fn member(shop: &mut Shop, customer_id: &str) -> pb::Member {
    let request = pb::GetMemberRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    };
    let member = shop.client.get_member(request).await.unwrap();
    member.into_inner().member.unwrap()
}

pub async fn kinds(shop: &mut Shop, customer_id: &str) -> Vec<TransactionKind> {
    let transactions = shop.transactions(customer_id).await;
    let mut kinds: Vec<_> = transactions
        .iter()
        .map(pb::LedgerTransaction::kind)
        .collect();
    kinds.reverse();
    kinds
}

/// Points and expiry of the lots that have any left.
pub async fn open_lots(shop: &mut Shop, customer_id: &str) -> Vec<(i64, Option<i64>)> {
    let lots = shop.lots(customer_id).await;
    let open = lots.into_iter().filter(|lot| lot.remaining > 0);
    open.map(|lot| (lot.remaining, lot.expires_at.map(|at| at.seconds)))
        .collect()
}

pub async fn announce(shop: &Shop, merge_id: &str, survivor: &str, absorbed: &str) {
    let event = customer::CustomerMerged {
        merge_id: merge_id.to_owned(),
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        merged_at: at(crate::shop::NOW),
    };
    for id in [absorbed, survivor] {
        shop.emit(id, &event).await;
    }
}

pub async fn announce_undone(shop: &Shop, merge_id: &str, survivor: &str, absorbed: &str) {
    let event = customer::CustomerUnmerged {
        merge_id: merge_id.to_owned(),
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        merged_at: at(crate::shop::NOW),
        unmerged_at: at(crate::shop::NOW),
    };
    for id in [absorbed, survivor] {
        shop.emit(id, &event).await;
    }
}

pub async fn authorize(shop: &mut Shop, customer_id: &str, points: i64) -> String {
    let request = pb::AuthorizeHoldRequest {
        customer_id: customer_id.to_owned(),
        points,
        timeout: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let held = shop.client.authorize_hold(request).await.unwrap();
    held.into_inner().hold.unwrap().hold_id
}
