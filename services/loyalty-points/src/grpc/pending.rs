//! Points that wait for an event: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::mutation::{Begun, Call};
use common::validate::Violations;

use super::dry_run::{Run, conclude};
use super::present::LotOf;
use super::{Answer, parse, present};
use crate::State;
use crate::domain::lots::Allocation;
use crate::ledger::Source;
use crate::ledger::pending::{self, Outcome, SettlePending, Settled};

pub async fn activate(
    state: &State,
    request: pb::ActivatePendingRequest,
) -> Answer<pb::ActivatePendingResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/ActivatePending";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let settle = SettlePending::try_from(request)?;
    state.platform.at_least(&settle.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let settled = pending::settle(state, mutation.tx(), settle, Outcome::Activate).await;
    let respond = |settled| {
        let told = told(state, settled, run);
        pb::ActivatePendingResponse {
            transactions: told.transactions,
            lots: told.lots,
            balance: told.balance,
            consistency_token: told.consistency_token,
        }
    };
    conclude(mutation, settled.map(respond), run).await
}

pub async fn cancel(
    state: &State,
    request: pb::CancelPendingRequest,
) -> Answer<pb::CancelPendingResponse> {
    let run = Run::from(request.dry_run);
    let method = "asterism.loyalty.v1.LoyaltyService/CancelPending";
    let call = Call::new(method, &request, run.request_id(&request.request_id));
    let settle = SettlePending::try_from(request)?;
    state.platform.at_least(&settle.account.at_least).await?;
    let mut mutation = match state.platform.begin(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let settled = pending::settle(state, mutation.tx(), settle, Outcome::Cancel).await;
    let respond = |settled| {
        let told = told(state, settled, run);
        pb::CancelPendingResponse {
            transactions: told.transactions,
            lots: told.lots,
            recovered: present::allocations(told.recovered),
            debt_incurred: told.debt_incurred,
            balance: told.balance,
            consistency_token: told.consistency_token,
        }
    };
    conclude(mutation, settled.map(respond), run).await
}

/// What is told either way.
#[derive(Default)]
struct Told {
    transactions: Vec<pb::LedgerTransaction>,
    lots: Vec<pb::Lot>,
    recovered: Vec<Allocation>,
    debt_incurred: i64,
    balance: Option<pb::Balance>,
    consistency_token: String,
}

fn told(state: &State, settled: Vec<Settled>, run: Run) -> Told {
    let mut told = Told::default();
    for Settled {
        posted,
        lot,
        earned_by,
    } in settled
    {
        let posted = run.told(posted);
        let posting = &posted.written.posting;
        let of = LotOf {
            program_id: &posting.program_id,
            customer_id: &posting.customer_id,
            posting_id: &earned_by,
            as_of: posting.posted_at,
        };
        told.lots.push(present::lot(&lot, &of));
        told.transactions.push(present::posted(&posted));
        told.consistency_token = present::token(&state.platform, &posted);
        told.debt_incurred += posted.written.debt_incurred;
        told.recovered.extend(posted.written.taken);
        told.balance = Some(present::balance(posted.balance));
    }
    told
}

impl TryFrom<pb::ActivatePendingRequest> for SettlePending {
    type Error = Error;

    fn try_from(request: pb::ActivatePendingRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let source_type = parse::text(&mut v, "source_type", request.source_type, 1..=64);
        let source_ref = parse::text(&mut v, "source_ref", request.source_ref, 1..=128);
        let posting_id = parse::text(&mut v, "transaction_id", request.transaction_id, 0..=64);
        let reason = parse::reason(&mut v, request.reason);
        let parsed = (account, source_type, source_ref, posting_id, reason);
        let (account, source_type, source_ref, posting_id, reason) = v.all(parsed)?;
        Ok(Self {
            account,
            source: Source {
                source_type,
                source_ref,
            },
            posting_id,
            reason,
        })
    }
}

impl TryFrom<pb::CancelPendingRequest> for SettlePending {
    type Error = Error;

    /// The fields are the same.
    fn try_from(request: pb::CancelPendingRequest) -> Result<Self, Error> {
        pb::ActivatePendingRequest {
            request_id: request.request_id,
            program_id: request.program_id,
            customer_id: request.customer_id,
            source_type: request.source_type,
            source_ref: request.source_ref,
            transaction_id: request.transaction_id,
            reason: request.reason,
            at_least: request.at_least,
            dry_run: request.dry_run,
        }
        .try_into()
    }
}
