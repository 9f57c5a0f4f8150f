//! Reversals: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::Error;
use common::money::Money;
use common::validate::Violations;

use super::{Answer, lines, parse, post, present};
use crate::State;
use crate::domain::Points;
use crate::domain::refund::Late;
use crate::domain::reversal::{Extent, Policy};
use crate::ledger::{self, Asked, ReverseTransaction};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

const GRACE_DAYS_MAX: i32 = 3_650;

pub async fn reverse(
    state: &State,
    request: pb::ReverseTransactionRequest,
) -> Answer<pb::ReverseTransactionResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/ReverseTransaction";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, ReverseTransaction::try_from(request)?).await
}

impl Posting for ReverseTransaction {
    type Answer = pb::ReverseTransactionResponse;

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
        let mut reversed = ledger::reverse(state, work, self).await?;
        reversed.posted = run.told(reversed.posted);
        reversed.passing = reversed.passing.map(|passing| run.passing(passing));
        Ok(present::reversed(&state.platform, reversed))
    }
}

impl TryFrom<pb::ReverseTransactionRequest> for ReverseTransaction {
    type Error = Error;

    fn try_from(request: pb::ReverseTransactionRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let posting_id = parse::text(&mut v, "transaction_id", request.transaction_id, 1..=64);
        let asked = asked(&mut v, request.extent);
        let policy = policy(&mut v, request.policy);
        let late = late(&mut v, request.refund_policy, request.grace_days);
        let reason = parse::reason(&mut v, request.reason);
        let parsed = (account, posting_id, asked, policy, late, reason);
        let (account, posting_id, asked, policy, late, reason) = v.all(parsed)?;
        Ok(Self {
            account,
            posting_id,
            asked,
            policy,
            late,
            reason,
        })
    }
}

fn asked(
    v: &mut Violations,
    raw: Option<pb::reverse_transaction_request::Extent>,
) -> Option<Asked> {
    use pb::reverse_transaction_request::Extent as Raw;
    match raw {
        None => Some(Asked::Extent(Extent::Whole)),
        Some(Raw::Lines(raw)) => lines::returned(v, raw.lines).map(Asked::Lines),
        Some(Raw::Points(points)) => {
            let points = v.check("points", Points::parse(points))?;
            Some(Asked::Extent(Extent::Points(points)))
        }
        Some(Raw::Returned(raw)) => {
            let original = v.check("returned.original", Money::try_from(raw.original));
            let returned = v.check("returned.returned", Money::try_from(raw.returned));
            let (original, returned) = (original?, returned?);
            if original.micros <= 0 {
                v.add("returned.original", "must be above zero");
            }
            if returned.currency != original.currency
                || !(0..=original.micros).contains(&returned.micros)
            {
                v.add(
                    "returned.returned",
                    "must be in the currency of the original and not more than it",
                );
            }
            Some(Asked::Extent(Extent::Returned {
                original: original.micros,
                returned: returned.micros,
            }))
        }
    }
}

fn policy(v: &mut Violations, raw: i32) -> Option<Policy> {
    match pb::ReversalPolicy::try_from(raw) {
        Ok(pb::ReversalPolicy::Unspecified | pb::ReversalPolicy::AllowDebt) => {
            Some(Policy::AllowDebt)
        }
        Ok(pb::ReversalPolicy::WithinBalance) => Some(Policy::WithinBalance),
        Ok(pb::ReversalPolicy::PendingOnly) => Some(Policy::PendingOnly),
        Err(_) => {
            v.add("policy", "must be one of the policies");
            None
        }
    }
}

fn late(v: &mut Violations, policy: i32, grace_days: i32) -> Option<Late> {
    let grace = match pb::RefundPolicy::try_from(policy) {
        Ok(pb::RefundPolicy::Unspecified | pb::RefundPolicy::Expire) => false,
        Ok(pb::RefundPolicy::Grace) => true,
        Err(_) => {
            v.add("refund_policy", "must be one of the policies");
            return None;
        }
    };
    match (grace, grace_days) {
        (false, 0) => Some(Late::Expire),
        (true, 1..=GRACE_DAYS_MAX) => Some(Late::Grace(TimeDelta::days(grace_days.into()))),
        (_, _) => {
            let range = format!("must be 1 to {GRACE_DAYS_MAX} with GRACE, otherwise 0");
            v.add("grace_days", range);
            None
        }
    }
}
