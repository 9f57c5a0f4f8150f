//! Points that wait for an event: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::validate::Violations;

use super::present::LotOf;
use super::{Answer, parse, post, present};
use crate::State;
use crate::domain::lots::Allocation;
use crate::ledger::Source;
use crate::ledger::pending::{self, AllSettled, Outcome, SettlePending, Settled};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

/// The event has come.
#[derive(Debug, Clone)]
struct Activate(SettlePending);

/// The event does not come.
#[derive(Debug, Clone)]
struct Cancel(SettlePending);

pub async fn activate(
    state: &State,
    request: pb::ActivatePendingRequest,
) -> Answer<pb::ActivatePendingResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/ActivatePending";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, Activate(request.try_into()?)).await
}

pub async fn cancel(
    state: &State,
    request: pb::CancelPendingRequest,
) -> Answer<pb::CancelPendingResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/CancelPending";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, Cancel(request.try_into()?)).await
}

impl Posting for Activate {
    type Answer = pb::ActivatePendingResponse;

    fn at_least(&self) -> &str {
        &self.0.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.0.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let settled = pending::settle(state, work, self.0, Outcome::Activate).await?;
        let told = told(state, settled, run);
        Ok(pb::ActivatePendingResponse {
            transactions: told.transactions,
            lots: told.lots,
            balance: told.balance,
            consistency_token: told.consistency_token,
            passed_on: told.passed_on,
        })
    }
}

impl Posting for Cancel {
    type Answer = pb::CancelPendingResponse;

    fn at_least(&self) -> &str {
        &self.0.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.0.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let settled = pending::settle(state, work, self.0, Outcome::Cancel).await?;
        let told = told(state, settled, run);
        Ok(pb::CancelPendingResponse {
            transactions: told.transactions,
            lots: told.lots,
            recovered: present::allocations(told.recovered),
            debt_incurred: told.debt_incurred,
            balance: told.balance,
            consistency_token: told.consistency_token,
            passed_on: told.passed_on,
        })
    }
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
    passed_on: Vec<pb::PassedOn>,
}

fn told(state: &State, all: AllSettled, run: Run) -> Told {
    let mut told = Told::default();
    for Settled {
        posted,
        lot,
        earned_by,
    } in all.settled
    {
        let posted = run.told(posted);
        let posting = &posted.written.posting;
        let of = LotOf {
            program_id: &posting.program_id,
            customer_id: &posting.customer_id,
            currency: &posted.currency,
            posting_id: &earned_by,
            as_of: posting.posted_at,
        };
        told.lots.push(present::lot(&lot, &of));
        told.transactions.push(present::posted(&posted));
        told.consistency_token = present::token(&state.platform, &posted);
        told.debt_incurred += posted.written.debt_incurred;
        told.recovered.extend(posted.written.taken);
        told.balance = Some(present::balance(posted.balance, &posted.currency));
    }
    if let Some(passing) = all.passing {
        let passing = run.passing(passing);
        told.consistency_token = present::token_of_asked(&state.platform, &passing);
        told.passed_on = present::passed_on(&state.platform, &passing);
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
