//! Balances of many members or in many currencies, and what of a balance will expire: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::validate::Violations;
use tonic::Response;

use super::{Answer, parse, present, raw_of};
use crate::State;
use crate::domain::balance::Balance;
use crate::domain::forecast::{Bucket, Outlook};
use crate::ledger::reads::{self, OfMany};

const HORIZON_DAYS_DEFAULT: i32 = 365;
const HORIZON_DAYS_MAX: i32 = 36_500;
const BUCKET_DAYS_DEFAULT: i32 = 30;
const BUCKETS_MAX: i32 = 1000;

pub async fn get(state: &State, request: pb::GetBalanceRequest) -> Answer<pb::GetBalanceResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let of = parse::of(&mut v, &raw);
    let (as_of, posted_by) = (request.as_of.as_ref(), request.posted_by.as_ref());
    let at = parse::instants(&mut v, as_of, posted_by, state.platform.now());
    let (of,) = v.all((of,))?;
    state.platform.at_least(&of.at_least).await?;
    let (balance, currency) = reads::balance(state, &of, at).await?;
    Ok(Response::new(pb::GetBalanceResponse {
        balance: Some(present::balance(balance, &currency)),
    }))
}

pub async fn batch_get(
    state: &State,
    request: pb::BatchGetBalancesRequest,
) -> Answer<pb::BatchGetBalancesResponse> {
    let mut v = Violations::new();
    let program_id = parse::program_id(&mut v, &request.program_id);
    let (as_of, posted_by) = (request.as_of.as_ref(), request.posted_by.as_ref());
    let at = parse::instants(&mut v, as_of, posted_by, state.platform.now());
    let customer_ids = parse::customer_ids(&mut v, &request.customer_ids);
    let currency = parse::currency(&mut v, &request.points_currency);
    let (program_id, currency) = v.all((program_id, currency))?;
    state.platform.at_least(&request.at_least).await?;
    let of = OfMany {
        program_id,
        customer_ids,
        currency,
    };
    let (found, currency) = reads::balances(state, &of, at).await?;
    let mut response = pb::BatchGetBalancesResponse::default();
    for (customer_id, balance) in of.customer_ids.into_iter().zip(found) {
        let customer_id = customer_id.to_string();
        match balance {
            Some(balance) => response.balances.push(pb::MemberBalance {
                customer_id,
                balance: Some(present::balance(balance, &currency)),
            }),
            None => response.missing_customer_ids.push(customer_id),
        }
    }
    Ok(Response::new(response))
}

pub async fn list(
    state: &State,
    request: pb::ListBalancesRequest,
) -> Answer<pb::ListBalancesResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let of = parse::of(&mut v, &raw);
    let (as_of, posted_by) = (request.as_of.as_ref(), request.posted_by.as_ref());
    let at = parse::instants(&mut v, as_of, posted_by, state.platform.now());
    let (of,) = v.all((of,))?;
    state.platform.at_least(&of.at_least).await?;
    let balances = reads::all_balances(state, &of, at).await?;
    let present = |(balance, currency): (Balance, String)| present::balance(balance, &currency);
    Ok(Response::new(pb::ListBalancesResponse {
        balances: balances.into_iter().map(present).collect(),
    }))
}

pub async fn forecast(
    state: &State,
    request: pb::ForecastExpiryRequest,
) -> Answer<pb::ForecastExpiryResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let of = parse::of(&mut v, &raw);
    let outlook = outlook(&mut v, request.horizon_days, request.bucket_days);
    let (as_of, posted_by) = (request.as_of.as_ref(), request.posted_by.as_ref());
    let at = parse::instants(&mut v, as_of, posted_by, state.platform.now());
    let (of, outlook) = v.all((of, outlook))?;
    state.platform.at_least(&of.at_least).await?;
    let (forecast, points_currency) = reads::forecast(state, &of, outlook, at).await?;
    let bucket = |bucket: Bucket| pb::ExpiryBucket {
        from: Some(bucket.from.into()),
        to: Some(bucket.to.into()),
        points: bucket.expiring.points,
        held: bucket.expiring.held,
    };
    Ok(Response::new(pb::ForecastExpiryResponse {
        buckets: forecast.buckets.into_iter().map(bucket).collect(),
        points_later: forecast.later.points,
        held_later: forecast.later.held,
        as_of: Some(forecast.as_of.into()),
        points_currency,
    }))
}

fn outlook(v: &mut Violations, horizon_days: i32, bucket_days: i32) -> Option<Outlook> {
    let or = |given: i32, default: i32| if given == 0 { default } else { given };
    let horizon = or(horizon_days, HORIZON_DAYS_DEFAULT);
    let bucket = or(bucket_days, BUCKET_DAYS_DEFAULT);
    if !(1..=HORIZON_DAYS_MAX).contains(&horizon) {
        let range = format!("must be 0 (which means 365) to {HORIZON_DAYS_MAX}");
        v.add("horizon_days", range);
        return None;
    }
    if bucket < 1 || horizon / bucket >= BUCKETS_MAX {
        let range = format!("must be 0 (which means 30) or more, and make at most {BUCKETS_MAX}");
        v.add("bucket_days", range);
        return None;
    }
    Some(Outlook {
        horizon: TimeDelta::days(horizon.into()),
        bucket: TimeDelta::days(bucket.into()),
    })
}
