//! Caps and budgets.

mod earned;
mod given_back;
mod merged;
mod races;
mod set;
mod verified;

use api::loyalty::v1 as pb;
use pb::limit_service_client::LimitServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::shop::Shop;

pub fn client(shop: &Shop) -> LimitServiceClient<Channel> {
    LimitServiceClient::new(shop.server.channel())
}

/// A cap on what a member earns in a month.
pub fn cap(limit_id: &str, points: i64, excess: pb::LimitExcess) -> pb::EarningLimit {
    pb::EarningLimit {
        limit_id: limit_id.to_owned(),
        scope: pb::LimitScope::Member.into(),
        window: pb::LimitWindow::Month.into(),
        points,
        excess: excess.into(),
        ..Default::default()
    }
}

/// A budget of what all members earn in a month.
pub fn budget(limit_id: &str, points: i64, excess: pb::LimitExcess) -> pb::EarningLimit {
    pb::EarningLimit {
        scope: pb::LimitScope::Program.into(),
        ..cap(limit_id, points, excess)
    }
}

pub fn setting(limit: pb::EarningLimit) -> pb::SetEarningLimitRequest {
    pb::SetEarningLimitRequest {
        limit: Some(limit),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

pub fn ending(limit_id: &str) -> pb::EndEarningLimitRequest {
    pb::EndEarningLimitRequest {
        limit_id: limit_id.to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

pub async fn try_set(
    shop: &Shop,
    request: pb::SetEarningLimitRequest,
) -> Result<pb::SetEarningLimitResponse, Status> {
    let set = client(shop).set_earning_limit(request).await?;
    Ok(set.into_inner())
}

pub async fn set(shop: &Shop, limit: pb::EarningLimit) -> pb::EarningLimit {
    let set = try_set(shop, setting(limit)).await.unwrap();
    set.limit.unwrap()
}

pub async fn end(shop: &Shop, limit_id: &str) -> pb::EarningLimit {
    let ended = client(shop).end_earning_limit(ending(limit_id)).await;
    ended.unwrap().into_inner().limit.unwrap()
}

pub async fn try_usages(
    shop: &Shop,
    customer_id: &str,
    as_of: Option<&str>,
) -> Result<Vec<pb::LimitUsage>, Status> {
    let request = pb::GetLimitUsageRequest {
        customer_id: customer_id.to_owned(),
        as_of: as_of.map(|at| testkit::time(at).into()),
        ..Default::default()
    };
    let told = client(shop).get_limit_usage(request).await?;
    Ok(told.into_inner().usages)
}

/// What is used of each limit, by their ids.
pub async fn used_at(shop: &Shop, customer_id: &str, as_of: Option<&str>) -> Vec<(String, i64)> {
    let usages = try_usages(shop, customer_id, as_of).await.unwrap();
    let told = usages.into_iter().map(|usage| {
        let limit = usage.limit.unwrap();
        let left = (limit.points - usage.used).max(0);
        assert_eq!(usage.remaining, left, "{}", limit.limit_id);
        (limit.limit_id, usage.used)
    });
    told.collect()
}

/// What is used now of the only limit.
pub async fn used(shop: &Shop, customer_id: &str) -> i64 {
    let used = used_at(shop, customer_id, None).await;
    let [(_, used)] = &used[..] else {
        panic!("there is one limit: {used:?}");
    };
    *used
}

/// Asserts that an earning is refused because a limit has only so much left.
pub fn assert_reached<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    (limit_id, left, window_end): (&str, &str, Option<&str>),
) {
    let status = answer.as_ref().unwrap_err();
    let info = common::error::ErrorInfo::of(status);
    assert_eq!(
        info.metadata.get("limit_id").map(String::as_str),
        Some(limit_id)
    );
    assert_eq!(info.metadata.get("left").map(String::as_str), Some(left));
    assert_eq!(
        info.metadata.get("window_end").map(String::as_str),
        window_end
    );
    testkit::assert_refused(answer, Code::FailedPrecondition, "LIMIT_REACHED");
}

/// Points before and after each limit that cut a posting.
pub fn cuts(posting: &pb::LedgerTransaction) -> Vec<(&str, i64, i64)> {
    let cuts = posting.limit_cuts.iter();
    cuts.map(|cut| (cut.limit_id.as_str(), cut.points_before, cut.points_after))
        .collect()
}
