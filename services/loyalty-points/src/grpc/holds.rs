//! Holds: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::Error;
use common::page::PageRequest;
use common::validate::Violations;
use tonic::Response;

use super::parse::{self, RawPage};
use super::{Answer, post, present, raw_of};
use crate::State;
use crate::domain::Points;
use crate::ledger::holds::{self, AuthorizeHold, CaptureHold, Held, VoidHold};
use crate::ledger::merges::Passing;
use crate::store::holds::StoredHold;
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

const TIMEOUT_DEFAULT: TimeDelta = TimeDelta::days(7);
const TIMEOUT_MIN: TimeDelta = TimeDelta::milliseconds(1);
const TIMEOUT_MAX: TimeDelta = TimeDelta::days(366);

pub async fn authorize(
    state: &State,
    request: pb::AuthorizeHoldRequest,
) -> Answer<pb::AuthorizeHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/AuthorizeHold";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, AuthorizeHold::try_from(request)?).await
}

impl Posting for AuthorizeHold {
    type Answer = pb::AuthorizeHoldResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let held = told(run, holds::authorize(state, work, self).await?);
        Ok(pb::AuthorizeHoldResponse {
            hold: Some(present::hold(&held.hold, &held.posted.currency)),
            consistency_token: present::token(&state.platform, &held.posted),
            transaction: Some(present::posted(&held.posted)),
            balance: Some(present::balance(held.posted.balance, &held.posted.currency)),
        })
    }
}

pub async fn capture(
    state: &State,
    request: pb::CaptureHoldRequest,
) -> Answer<pb::CaptureHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/CaptureHold";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, CaptureHold::try_from(request)?).await
}

impl Posting for CaptureHold {
    type Answer = pb::CaptureHoldResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let held = told(run, holds::capture(state, work, self).await?);
        Ok(pb::CaptureHoldResponse {
            hold: Some(present::hold(&held.hold, &held.posted.currency)),
            consistency_token: present::token(&state.platform, &held.posted),
            transaction: Some(present::posted(&held.posted)),
            allocations: present::allocations(held.posted.written.taken),
            balance: Some(present::balance(held.posted.balance, &held.posted.currency)),
            passed_on: passed_on(state, held.passing),
        })
    }
}

pub async fn void(state: &State, request: pb::VoidHoldRequest) -> Answer<pb::VoidHoldResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/VoidHold";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, VoidHold::try_from(request)?).await
}

impl Posting for VoidHold {
    type Answer = pb::VoidHoldResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let held = told(run, holds::void(state, work, self).await?);
        Ok(pb::VoidHoldResponse {
            hold: Some(present::hold(&held.hold, &held.posted.currency)),
            consistency_token: present::token(&state.platform, &held.posted),
            transaction: Some(present::posted(&held.posted)),
            balance: Some(present::balance(held.posted.balance, &held.posted.currency)),
            passed_on: passed_on(state, held.passing),
        })
    }
}

/// What is told of a hold: of one that will not have been made, no identity.
fn told(run: Run, mut held: Held) -> Held {
    if run == Run::Dry && held.hold.revision == held.posted.written.posting.revision {
        held.hold.hold.hold_id.clear();
        for entry in &mut held.posted.written.entries {
            entry.hold_id = None;
        }
    }
    held.posted = run.told(held.posted);
    held.passing = held.passing.map(|passing| run.passing(passing));
    held
}

fn passed_on(state: &State, passing: Option<Passing>) -> Vec<pb::PassedOn> {
    passing.map_or_else(Vec::new, |passing| {
        present::passed_on(&state.platform, &passing)
    })
}

pub async fn get(state: &State, request: pb::GetHoldRequest) -> Answer<pb::GetHoldResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let of = parse::of(&mut v, &raw);
    let hold_id = parse::text(&mut v, "hold_id", request.hold_id, 1..=64);
    let (of, hold_id) = v.all((of, hold_id))?;
    state.platform.at_least(&of.at_least).await?;
    let (stored, currency) = holds::find(state, &of, &hold_id).await?;
    Ok(Response::new(pb::GetHoldResponse {
        hold: Some(present::hold(&stored, &currency)),
    }))
}

pub async fn list(state: &State, request: pb::ListHoldsRequest) -> Answer<pb::ListHoldsResponse> {
    let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
    let raw = raw.in_currency(&request.points_currency);
    let page = RawPage {
        size: request.page_size,
        token: &request.page_token,
        list: "ListHolds",
    };
    let (of, page): (_, PageRequest) = parse::member_page(&raw, &page)?;
    state.platform.at_least(&of.at_least).await?;
    let told = holds::list(state, &of, &page).await?;
    let hold = |hold: &StoredHold| present::hold(hold, told.program.code_of(&hold.wallet));
    Ok(Response::new(pb::ListHoldsResponse {
        holds: told.items.iter().map(hold).collect(),
        next_page_token: told.next_token,
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
        let account = parse::in_currency(&mut v, account, &request.points_currency);
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
