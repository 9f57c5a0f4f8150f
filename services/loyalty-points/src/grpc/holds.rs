//! Holds: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::Error;
use common::mutation::{Begun, Call};
use common::page::PageRequest;
use common::validate::Violations;
use tonic::Response;

use super::parse::{self, RawPage};
use super::{Answer, finish, present, raw_of};
use crate::State;
use crate::domain::Points;
use crate::ledger::holds::{self, AuthorizeHold, CaptureHold, VoidHold};

const TIMEOUT_DEFAULT: TimeDelta = TimeDelta::days(7);
const TIMEOUT_MIN: TimeDelta = TimeDelta::milliseconds(1);
const TIMEOUT_MAX: TimeDelta = TimeDelta::days(366);

pub async fn authorize(
    state: &State,
    request: pb::AuthorizeHoldRequest,
) -> Answer<pb::AuthorizeHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/AuthorizeHold";
    let call = Call::new(method, &request, &request.request_id);
    let authorize = AuthorizeHold::try_from(request)?;
    state.platform.at_least(&authorize.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let held = holds::authorize(state, mutation.tx(), authorize).await;
    let respond = |held: holds::Held| pb::AuthorizeHoldResponse {
        hold: Some(present::hold(&held.hold)),
        consistency_token: present::token(&state.platform, &held.posted),
        transaction: Some(present::posted(&held.posted)),
        balance: Some(present::balance(held.posted.balance)),
    };
    finish(mutation, held.map(respond)).await
}

pub async fn capture(
    state: &State,
    request: pb::CaptureHoldRequest,
) -> Answer<pb::CaptureHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/CaptureHold";
    let call = Call::new(method, &request, &request.request_id);
    let capture = CaptureHold::try_from(request)?;
    state.platform.at_least(&capture.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let held = holds::capture(state, mutation.tx(), capture).await;
    let respond = |held: holds::Held| pb::CaptureHoldResponse {
        hold: Some(present::hold(&held.hold)),
        consistency_token: present::token(&state.platform, &held.posted),
        transaction: Some(present::posted(&held.posted)),
        allocations: present::allocations(held.posted.written.taken),
        balance: Some(present::balance(held.posted.balance)),
    };
    finish(mutation, held.map(respond)).await
}

pub async fn void(state: &State, request: pb::VoidHoldRequest) -> Answer<pb::VoidHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/VoidHold";
    let call = Call::new(method, &request, &request.request_id);
    let void = VoidHold::try_from(request)?;
    state.platform.at_least(&void.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let held = holds::void(state, mutation.tx(), void).await;
    let respond = |held: holds::Held| pb::VoidHoldResponse {
        hold: Some(present::hold(&held.hold)),
        consistency_token: present::token(&state.platform, &held.posted),
        transaction: Some(present::posted(&held.posted)),
        balance: Some(present::balance(held.posted.balance)),
    };
    finish(mutation, held.map(respond)).await
}

pub async fn get(state: &State, request: pb::GetHoldRequest) -> Answer<pb::GetHoldResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let of = parse::of(&mut v, &raw);
    let hold_id = parse::text(&mut v, "hold_id", request.hold_id, 1..=64);
    let (of, hold_id) = v.all((of, hold_id))?;
    state.platform.at_least(&of.at_least).await?;
    let stored = holds::find(state, &of, &hold_id).await?;
    Ok(Response::new(pb::GetHoldResponse {
        hold: Some(present::hold(&stored)),
    }))
}

pub async fn list(state: &State, request: pb::ListHoldsRequest) -> Answer<pb::ListHoldsResponse> {
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let page = RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: "ListHolds",
    };
    let (of, page): (_, PageRequest) = parse::member_page(&raw, &page)?;
    state.platform.at_least(&of.at_least).await?;
    let (rows, next_page_token) = holds::list(state, &of, &page).await?;
    Ok(Response::new(pb::ListHoldsResponse {
        holds: rows.iter().map(present::hold).collect(),
        next_page_token,
    }))
}

impl TryFrom<pb::AuthorizeHoldRequest> for AuthorizeHold {
    type Error = Error;

    fn try_from(request: pb::AuthorizeHoldRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let points = v.check("points", Points::parse(request.points));
        let timeout = v.check("timeout", timeout(request.timeout.as_ref()));
        let reason = parse::reason(&mut v, request.reason);
        let (account, points, timeout, reason) = v.all((account, points, timeout, reason))?;
        Ok(Self {
            account,
            points,
            timeout,
            reason,
        })
    }
}

impl TryFrom<pb::CaptureHoldRequest> for CaptureHold {
    type Error = Error;

    fn try_from(request: pb::CaptureHoldRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let hold_id = parse::text(&mut v, "hold_id", request.hold_id, 1..=64);
        let points = v.check("points", Points::parse(request.points));
        let reason = parse::reason(&mut v, request.reason);
        let (account, hold_id, points, reason) = v.all((account, hold_id, points, reason))?;
        Ok(Self {
            account,
            hold_id,
            points,
            is_final: request.r#final,
            reason,
        })
    }
}

impl TryFrom<pb::VoidHoldRequest> for VoidHold {
    type Error = Error;

    fn try_from(request: pb::VoidHoldRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let hold_id = parse::text(&mut v, "hold_id", request.hold_id, 1..=64);
        let reason = parse::reason(&mut v, request.reason);
        let (account, hold_id, reason) = v.all((account, hold_id, reason))?;
        Ok(Self {
            account,
            hold_id,
            reason,
        })
    }
}

fn timeout(raw: Option<&prost_types::Duration>) -> Result<TimeDelta, &'static str> {
    let Some(raw) = raw else {
        return Ok(TIMEOUT_DEFAULT);
    };
    let seconds = TimeDelta::try_seconds(raw.seconds);
    let timeout =
        seconds.and_then(|seconds| seconds.checked_add(&TimeDelta::nanoseconds(raw.nanos.into())));
    timeout
        .filter(|timeout| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(timeout))
        .ok_or("must be a millisecond to 366 days")
}
