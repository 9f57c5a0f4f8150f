//! The limit service: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use api::loyalty::v1::limit_service_server::LimitService;
use common::Error;
use common::identity;
use common::ids::CustomerId;
use common::mutation::{Begun, Call};
use common::validate::Violations;
use tonic::{Request, Response};

use super::dry_run::conclude;
use super::parse::{self, RawPage};
use super::{Answer, raw_of};
use crate::State;
use crate::domain::limits::{
    Applied, EarningLimit, Excess, LIMIT_POINTS_MAX, LimitId, Room, Scope, Window, WindowKind,
};
use crate::domain::program::Program;
use crate::limits::{self, Change, Changed, SetLimit, Wanted};
use crate::writer::Run;

/// The gRPC service.
pub struct Limits {
    state: State,
}

impl Limits {
    /// Shares the state of the service.
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

#[tonic::async_trait]
impl LimitService for Limits {
    async fn set_earning_limit(
        &self,
        request: Request<pb::SetEarningLimitRequest>,
    ) -> Answer<pb::SetEarningLimitResponse> {
        let request = request.into_inner();
        let run = Run::from(request.dry_run);
        let method = "asterism.loyalty.v1.LimitService/SetEarningLimit";
        let call = Call::new(method, &request, run.request_id(&request.request_id));
        let parsed = SetLimit::try_from(request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let changed = limits::set(&self.state, mutation.tx(), parsed).await;
        let respond = |changed| {
            let (limit, consistency_token) = told(&self.state, changed, run);
            pb::SetEarningLimitResponse {
                limit,
                consistency_token,
            }
        };
        conclude(mutation, changed.map(respond), run).await
    }

    async fn end_earning_limit(
        &self,
        request: Request<pb::EndEarningLimitRequest>,
    ) -> Answer<pb::EndEarningLimitResponse> {
        let request = request.into_inner();
        let run = Run::from(request.dry_run);
        let method = "asterism.loyalty.v1.LimitService/EndEarningLimit";
        let call = Call::new(method, &request, run.request_id(&request.request_id));
        let parsed = Change::try_from(request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let changed = limits::end(&self.state, mutation.tx(), parsed).await;
        let respond = |changed| {
            let (limit, consistency_token) = told(&self.state, changed, run);
            pb::EndEarningLimitResponse {
                limit,
                consistency_token,
            }
        };
        conclude(mutation, changed.map(respond), run).await
    }

    async fn list_earning_limits(
        &self,
        request: Request<pb::ListEarningLimitsRequest>,
    ) -> Answer<pb::ListEarningLimitsResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let program_id = parse::program_id(&mut v, &request.program_id);
        let page = RawPage {
            size: request.page_size,
            token: &request.page_token,
            list: "ListEarningLimits",
        };
        let page = parse::page_of(&mut v, &raw_of(&request.program_id, "", ""), &page);
        let (program_id, page) = v.all((program_id, page))?;
        let (listed, program, next_page_token) =
            limits::list(&self.state, &program_id, &page).await?;
        let listed = listed.iter().map(|limit| present(limit, &program));
        Ok(Response::new(pb::ListEarningLimitsResponse {
            limits: listed.collect(),
            next_page_token,
        }))
    }

    async fn get_limit_usage(
        &self,
        request: Request<pb::GetLimitUsageRequest>,
    ) -> Answer<pb::GetLimitUsageResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let program_id = parse::program_id(&mut v, &request.program_id);
        let customer_id = match request.customer_id.as_str() {
            "" => None,
            raw => v.parse("customer_id", raw, CustomerId::parse),
        };
        let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
        let (program_id,) = v.all((program_id,))?;
        let wanted = Wanted {
            program_id,
            customer_id,
            as_of,
        };
        self.state.platform.at_least(&request.at_least).await?;
        let (rooms, program) = limits::usage(&self.state, &wanted).await?;
        Ok(Response::new(pb::GetLimitUsageResponse {
            usages: rooms.iter().map(|room| usage(room, &program)).collect(),
        }))
    }
}

fn told(state: &State, (limit, program): Changed, run: Run) -> (Option<pb::EarningLimit>, String) {
    let token = match run {
        Run::Real => limits::token(state, &program.program_id, limit.version),
        Run::Dry => String::new(),
    };
    (Some(present(&limit, &program)), token)
}

fn present(limit: &EarningLimit, program: &Program) -> pb::EarningLimit {
    let scope = match limit.scope {
        Scope::Member => pb::LimitScope::Member,
        Scope::Program => pb::LimitScope::Program,
    };
    let window = match limit.window {
        WindowKind::Day => pb::LimitWindow::Day,
        WindowKind::Week => pb::LimitWindow::Week,
        WindowKind::Month => pb::LimitWindow::Month,
        WindowKind::Year => pb::LimitWindow::Year,
        WindowKind::Lifetime => pb::LimitWindow::Lifetime,
    };
    let excess = match limit.excess {
        Excess::Refuse => pb::LimitExcess::Refuse,
        Excess::Clamp => pb::LimitExcess::Clamp,
    };
    pb::EarningLimit {
        limit_id: limit.limit_id.to_string(),
        scope: scope.into(),
        points_currency: program.code_of(&limit.wallet).to_owned(),
        window: window.into(),
        points: limit.points,
        excess: excess.into(),
        ended: limit.ended,
        version: limit.version,
        actor: limit.actor.clone(),
        reason: limit.reason.clone(),
        changed_at: Some(limit.changed_at.into()),
    }
}

fn usage(room: &Room, program: &Program) -> pb::LimitUsage {
    pb::LimitUsage {
        limit: Some(present(&room.limit, program)),
        used: room.used,
        remaining: room.left(),
        window_start: room.window.start.map(Into::into),
        window_end: room.window.end.map(Into::into),
    }
}

/// What of the limits that an earning was held against has cut it.
pub fn cuts(applied: &[Applied]) -> Vec<pb::LimitCut> {
    let cut = |applied: &Applied| pb::LimitCut {
        limit_id: applied.limit_id.clone(),
        points_before: applied.before,
        points_after: applied.after,
    };
    let cutting = applied.iter().filter(|of| of.after < of.before);
    cutting.map(cut).collect()
}

/// What a limit made of an earning that is counted in a window.
pub fn applied((applied, window): (Applied, Window)) -> pb::DecisionLimit {
    pb::DecisionLimit {
        limit_id: applied.limit_id,
        version: applied.version,
        window_start: window.start.map(Into::into),
        window_end: window.end.map(Into::into),
        points_before: applied.before,
        points_after: applied.after,
    }
}

impl TryFrom<pb::SetEarningLimitRequest> for SetLimit {
    type Error = Error;

    fn try_from(request: pb::SetEarningLimitRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let raw = request.limit.clone().unwrap_or_default();
        let change = change(
            &mut v,
            pb::EndEarningLimitRequest {
                request_id: request.request_id,
                program_id: request.program_id,
                limit_id: raw.limit_id,
                expected_version: request.expected_version,
                reason: request.reason,
                dry_run: request.dry_run,
            },
            "limit.limit_id",
        );
        let scope = match pb::LimitScope::try_from(raw.scope) {
            Ok(pb::LimitScope::Member) => Some(Scope::Member),
            Ok(pb::LimitScope::Program) => Some(Scope::Program),
            Ok(pb::LimitScope::Unspecified) | Err(_) => None,
        };
        let window = match pb::LimitWindow::try_from(raw.window) {
            Ok(pb::LimitWindow::Day) => Some(WindowKind::Day),
            Ok(pb::LimitWindow::Week) => Some(WindowKind::Week),
            Ok(pb::LimitWindow::Month) => Some(WindowKind::Month),
            Ok(pb::LimitWindow::Year) => Some(WindowKind::Year),
            Ok(pb::LimitWindow::Lifetime) => Some(WindowKind::Lifetime),
            Ok(pb::LimitWindow::Unspecified) | Err(_) => None,
        };
        let excess = match pb::LimitExcess::try_from(raw.excess) {
            Ok(pb::LimitExcess::Refuse) => Some(Excess::Refuse),
            Ok(pb::LimitExcess::Clamp) => Some(Excess::Clamp),
            Ok(pb::LimitExcess::Unspecified) | Err(_) => None,
        };
        for (field, given) in [
            ("limit.scope", scope.is_some()),
            ("limit.window", window.is_some()),
            ("limit.excess", excess.is_some()),
        ] {
            if !given {
                v.add(field, "must be one of the enum");
            }
        }
        let currency = parse::currency_in(&mut v, "limit.points_currency", &raw.points_currency);
        if !(0..=LIMIT_POINTS_MAX).contains(&raw.points) {
            v.add("limit.points", format!("must be 0 to {LIMIT_POINTS_MAX}"));
        }
        let parsed = (change, scope, currency, window, excess);
        let (change, scope, currency, window, excess) = v.all(parsed)?;
        Ok(Self {
            change,
            scope,
            currency,
            window,
            points: raw.points,
            excess,
        })
    }
}

impl TryFrom<pb::EndEarningLimitRequest> for Change {
    type Error = Error;

    fn try_from(request: pb::EndEarningLimitRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let change = change(&mut v, request, "limit_id");
        let (change,) = v.all((change,))?;
        Ok(change)
    }
}

fn change(v: &mut Violations, raw: pb::EndEarningLimitRequest, field: &str) -> Option<Change> {
    v.request_id(&raw.request_id);
    let program_id = parse::program_id(v, &raw.program_id);
    let limit_id = v.parse(field, raw.limit_id.as_str(), LimitId::parse);
    if raw.expected_version < 0 {
        v.add("expected_version", "must be 0 (any) or more");
    }
    let reason = parse::text(v, "reason", raw.reason, 1..=500);
    Some(Change {
        program_id: program_id?,
        limit_id: limit_id?,
        expected: raw.expected_version,
        actor: identity::current().subject.to_string(),
        reason: reason?,
    })
}
