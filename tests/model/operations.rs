//! The operations of the ledger: how each is called, and whose histories it touches.

pub mod batches;
mod call;
mod extensions;
mod imports;
mod merges;
mod passing;
mod persons;
mod policies;
pub mod purchases;
mod recalculation;
mod revisions;
mod sweeps;
mod told;
mod traces;

use api::loyalty::v1 as pb;
use common::token::ConsistencyToken;

use crate::answers::{Answer, micros};
use crate::model::{history_of, policies_of, program};
pub use extensions::Extend;
pub use imports::{Import, Imported};
pub use merges::{Merge, Merged, Standing};
pub use passing::Elsewhere;
pub use persons::{Unmerge, may_be_merged, sort_moved};
pub use policies::policy;
pub use purchases::{Announce, Announced};
pub use recalculation::{Recalculate, Recalculated};
pub use sweeps::{Sweep, Swept};
pub use told::Told;
pub use traces::Traced;

/// Whoever calls a server without authentication.
pub const CALLER: &str = "anonymous";

/// A call of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Enroll(pb::EnrollMemberRequest),
    Earn(pb::EarnPointsRequest),
    Redeem(pb::RedeemPointsRequest),
    Adjust(pb::AdjustPointsRequest),
    Transfer(pb::TransferPointsRequest),
    Extend(Extend),
    Reverse(pb::ReverseTransactionRequest),
    Authorize(pb::AuthorizeHoldRequest),
    Capture(pb::CaptureHoldRequest),
    Void(pb::VoidHoldRequest),
    Activate(pb::ActivatePendingRequest),
    Cancel(pb::CancelPendingRequest),
    Batch(pb::BatchPostRequest),
    Override(pb::OverrideTierRequest),
    ClearOverride(pb::ClearOverrideRequest),
    SetLimit(pb::SetEarningLimitRequest),
    EndLimit(pb::EndEarningLimitRequest),
    Import(Import),
    Sweep(Sweep),
    Announce(Announce),
    Recalculate(Recalculate),
    MergeMembers(pb::MergeMembersRequest),
    UnmergeMembers(Unmerge),
    Elsewhere(Elsewhere),
    Publish(pb::PublishTierPolicyRequest),
    Merge(Merge),
    Usage(pb::GetLimitUsageRequest),
    Trace(pb::GetDecisionTraceRequest),
    Tier(pb::GetTierRequest),
    Progress(pb::GetTierProgressRequest),
    TierHistory(pb::ListTierHistoryRequest),
    Balance(pb::GetBalanceRequest),
    Balances(pb::ListBalancesRequest),
    Forecast(pb::ForecastExpiryRequest),
    Lots(pb::ListLotsRequest),
    Transactions(pb::ListTransactionsRequest),
    Statement(pb::GetStatementRequest),
    Hold(pb::GetHoldRequest),
    Holds(pb::ListHoldsRequest),
}

/// What a call answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    Enroll(pb::EnrollMemberResponse),
    Earn(pb::EarnPointsResponse),
    Redeem(pb::RedeemPointsResponse),
    Adjust(pb::AdjustPointsResponse),
    Transfer(pb::TransferPointsResponse),
    Extend(pb::ExtendExpiryResponse),
    Reverse(pb::ReverseTransactionResponse),
    Authorize(pb::AuthorizeHoldResponse),
    Capture(pb::CaptureHoldResponse),
    Void(pb::VoidHoldResponse),
    Activate(pb::ActivatePendingResponse),
    Cancel(pb::CancelPendingResponse),
    Batch(pb::BatchPostResponse),
    Override(pb::OverrideTierResponse),
    ClearOverride(pb::ClearOverrideResponse),
    SetLimit(pb::SetEarningLimitResponse),
    EndLimit(pb::EndEarningLimitResponse),
    Import(Imported),
    Sweep(Swept),
    Announce(Announced),
    Recalculate(Recalculated),
    MergeMembers(pb::MergeMembersResponse),
    UnmergeMembers(pb::UnmergeMembersResponse),
    Publish(pb::PublishTierPolicyResponse),
    Merge(Merged),
    Usage(pb::GetLimitUsageResponse),
    Trace(Traced),
    Tier(pb::GetTierResponse),
    Progress(pb::GetTierProgressResponse),
    TierHistory(pb::ListTierHistoryResponse),
    Balance(pb::GetBalanceResponse),
    Balances(pb::ListBalancesResponse),
    Forecast(pb::ForecastExpiryResponse),
    Lots(pb::ListLotsResponse),
    Transactions(pb::ListTransactionsResponse),
    Statement(pb::GetStatementResponse),
    Hold(pb::GetHoldResponse),
    Holds(pb::ListHoldsResponse),
}

/// What was asked for, and what was answered, by their places in the histories.
pub fn placed(request: Request, answer: Answer) -> Vec<(Request, Answer)> {
    match (&request, &answer) {
        (Request::Import(asked), Ok(Response::Import(told))) => imports::placed(asked, told),
        (Request::Extend(asked), Ok(Response::Extend(told))) => extensions::placed(asked, told),
        (Request::Sweep(asked), Ok(Response::Sweep(told))) => sweeps::placed(asked, told),
        (Request::Recalculate(asked), Ok(Response::Recalculate(told))) => {
            recalculation::placed(asked, told)
        }
        _ => vec![(request, answer)],
    }
}

/// Whose history a token is about, and the revision in it; nobody's if it is about something else.
pub fn token(text: &str) -> (String, i64) {
    match ConsistencyToken::decode(text) {
        Ok(Some(token)) => (token.customer_id.to_string(), token.revision),
        _ => (String::new(), 0),
    }
}

impl Request {
    /// The customers whose histories the answer depends on.
    pub fn customers(&self) -> Vec<&str> {
        match self {
            Self::Enroll(it) => vec![&it.customer_id],
            Self::Earn(it) => vec![&it.customer_id],
            Self::Redeem(it) => vec![&it.customer_id],
            Self::Adjust(it) => vec![&it.customer_id],
            Self::Transfer(it) => vec![&it.customer_id, &it.to_customer_id],
            Self::Extend(it) => {
                let others = it.others.iter().map(String::as_str);
                std::iter::once(it.asked.customer_id.as_str())
                    .chain(others)
                    .collect()
            }
            Self::Reverse(it) => vec![&it.customer_id],
            Self::Authorize(it) => vec![&it.customer_id],
            Self::Capture(it) => vec![&it.customer_id],
            Self::Void(it) => vec![&it.customer_id],
            Self::Activate(it) => vec![&it.customer_id],
            Self::Cancel(it) => vec![&it.customer_id],
            Self::Batch(it) => batches::customers(it),
            Self::Override(it) => vec![&it.customer_id],
            Self::ClearOverride(it) => vec![&it.customer_id],
            Self::SetLimit(_) | Self::EndLimit(_) | Self::Publish(_) => Vec::new(),
            Self::Trace(it) => vec![&it.customer_id],
            Self::Import(it) => it.customers(),
            Self::Sweep(it) => it.customers(),
            Self::Announce(it) => vec![&it.purchase.customer_id],
            Self::MergeMembers(it) => vec![&it.survivor_id, &it.absorbed_id],
            Self::UnmergeMembers(it) => it.whose.iter().map(String::as_str).collect(),
            Self::Elsewhere(it) => it.customers(),
            Self::Merge(it) => vec![&it.survivor, &it.absorbed],
            Self::Recalculate(it) => it.of.iter().map(String::as_str).collect(),
            Self::Usage(it) => match it.customer_id.as_str() {
                "" => Vec::new(),
                customer_id => vec![customer_id],
            },
            Self::Tier(it) => vec![&it.customer_id],
            Self::Progress(it) => vec![&it.customer_id],
            Self::TierHistory(it) => vec![&it.customer_id],
            Self::Balance(it) => vec![&it.customer_id],
            Self::Balances(it) => vec![&it.customer_id],
            Self::Forecast(it) => vec![&it.customer_id],
            Self::Lots(it) => vec![&it.customer_id],
            Self::Transactions(it) => vec![&it.customer_id],
            Self::Statement(it) => vec![&it.customer_id],
            Self::Hold(it) => vec![&it.customer_id],
            Self::Holds(it) => vec![&it.customer_id],
        }
    }

    /// The histories that it may be a part of: those of customers, and those of the limits and tier policies of programs.
    pub fn histories(&self) -> Vec<String> {
        match self {
            Self::SetLimit(it) => vec![history_of(&it.program_id)],
            Self::EndLimit(it) => vec![history_of(&it.program_id)],
            Self::Publish(it) => vec![policies_of(&it.program_id)],
            _ => self.customers().into_iter().map(str::to_owned).collect(),
        }
    }

    /// What is asked for, whoever else may have a part in it.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Elsewhere(it) => it.asked.plain(),
            plain => plain,
        }
    }

    /// The programs whose limits matter to what becomes of it.
    pub fn limited_by(&self) -> Vec<&str> {
        let mut programs = match self.plain() {
            Self::Earn(it) => vec![program(&it.program_id)],
            Self::SetLimit(it) => vec![program(&it.program_id)],
            Self::EndLimit(it) => vec![program(&it.program_id)],
            Self::Usage(it) => vec![program(&it.program_id)],
            Self::Batch(it) => batches::earns_in(it),
            // Those of the club are of a currency that no purchase earns.
            Self::Announce(_) => vec![program("")],
            _ => Vec::new(),
        };
        programs.sort_unstable();
        programs.dedup();
        programs
    }

    /// How many things it asks for.
    pub fn items(&self) -> usize {
        match self.plain() {
            Self::Batch(it) => it.items.len(),
            _ => 1,
        }
    }

    /// Whether anything may be earned by it.
    pub fn is_earning(&self) -> bool {
        matches!(
            self.plain(),
            Self::Earn(_) | Self::Batch(_) | Self::Announce(_)
        )
    }

    /// Where it says whether it is dry, if it can be.
    pub fn dry_run(&mut self) -> Option<&mut bool> {
        match self {
            Self::Earn(it) => Some(&mut it.dry_run),
            Self::Redeem(it) => Some(&mut it.dry_run),
            Self::Adjust(it) => Some(&mut it.dry_run),
            Self::Transfer(it) => Some(&mut it.dry_run),
            Self::Extend(it) => Some(&mut it.asked.dry_run),
            Self::Reverse(it) => Some(&mut it.dry_run),
            Self::Authorize(it) => Some(&mut it.dry_run),
            Self::Capture(it) => Some(&mut it.dry_run),
            Self::Void(it) => Some(&mut it.dry_run),
            Self::Activate(it) => Some(&mut it.dry_run),
            Self::Cancel(it) => Some(&mut it.dry_run),
            Self::Batch(it) => Some(&mut it.dry_run),
            Self::Override(it) => Some(&mut it.dry_run),
            Self::ClearOverride(it) => Some(&mut it.dry_run),
            Self::SetLimit(it) => Some(&mut it.dry_run),
            Self::EndLimit(it) => Some(&mut it.dry_run),
            Self::MergeMembers(it) => Some(&mut it.dry_run),
            Self::UnmergeMembers(it) => Some(&mut it.asked.dry_run),
            Self::Elsewhere(it) => it.asked.dry_run(),
            Self::Publish(it) => Some(&mut it.dry_run),
            Self::Import(it) => it.chunk.header.as_mut().map(|header| &mut header.dry_run),
            Self::Sweep(it) => Some(&mut it.asked.dry_run),
            Self::Recalculate(it) => Some(&mut it.asked.dry_run),
            Self::Enroll(_)
            | Self::Announce(_)
            | Self::Merge(_)
            | Self::Balance(_)
            | Self::Balances(_)
            | Self::Forecast(_)
            | Self::Tier(_)
            | Self::Progress(_)
            | Self::TierHistory(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Statement(_)
            | Self::Hold(_)
            | Self::Holds(_) => None,
        }
    }

    /// Whether it only reads.
    pub fn is_read(&self) -> bool {
        use Request::{
            Balance, Balances, Forecast, Hold, Holds, Lots, Progress, Statement, Tier, TierHistory,
            Trace, Transactions, Usage,
        };
        matches!(
            self,
            Balance(_)
                | Balances(_)
                | Forecast(_)
                | Lots(_)
                | Transactions(_)
                | Statement(_)
                | Tier(_)
                | Progress(_)
                | TierHistory(_)
                | Usage(_)
                | Trace(_)
                | Hold(_)
                | Holds(_)
        )
    }

    /// Whether it has an id of its own, by which the service knows it again and answers the same.
    pub fn has_id(&self) -> bool {
        !matches!(self, Self::Import(_) | Self::Announce(_) | Self::Merge(_))
    }

    /// Whether it is to change anything.
    pub fn has_effect(&self) -> bool {
        !self.is_read() && !self.clone().dry_run().is_some_and(|dry_run| *dry_run)
    }

    /// Whether it comes when nothing else goes on, and the clock stands still: it may leave nothing by which to find
    /// its place among others.
    pub fn is_alone(&self) -> bool {
        match self {
            Self::Merge(_) => true,
            Self::Announce(it) => it.is_alone,
            _ => false,
        }
    }

    /// Another request: the same, but for its reason. None where there is no reason to give.
    pub fn altered(&self) -> Option<Self> {
        let mut request = self.clone();
        request.reason()?.push_str(", on second thoughts");
        Some(request)
    }

    /// The field in which that differs.
    pub fn altered_field(&self) -> &'static str {
        match self.plain() {
            Self::Batch(_) => "items",
            _ => "reason",
        }
    }

    fn reason(&mut self) -> Option<&mut String> {
        Some(match self {
            Self::Earn(it) => &mut it.reason,
            Self::Redeem(it) => &mut it.reason,
            Self::Adjust(it) => &mut it.reason,
            Self::Transfer(it) => &mut it.reason,
            Self::Extend(it) => &mut it.asked.reason,
            Self::Reverse(it) => &mut it.reason,
            Self::Authorize(it) => &mut it.reason,
            Self::Capture(it) => &mut it.reason,
            Self::Void(it) => &mut it.reason,
            Self::Activate(it) => &mut it.reason,
            Self::Cancel(it) => &mut it.reason,
            Self::Batch(it) => return batches::reason(it),
            Self::Override(it) => &mut it.reason,
            Self::ClearOverride(it) => &mut it.reason,
            Self::SetLimit(it) => &mut it.reason,
            Self::EndLimit(it) => &mut it.reason,
            Self::MergeMembers(it) => &mut it.reason,
            Self::UnmergeMembers(it) => &mut it.asked.reason,
            Self::Elsewhere(it) => return it.asked.reason(),
            Self::Publish(it) => &mut it.reason,
            Self::Sweep(it) => &mut it.asked.reason,
            Self::Recalculate(it) => &mut it.asked.reason,
            Self::Enroll(_)
            | Self::Import(_)
            | Self::Announce(_)
            | Self::Merge(_)
            | Self::Balance(_)
            | Self::Balances(_)
            | Self::Forecast(_)
            | Self::Tier(_)
            | Self::Progress(_)
            | Self::TierHistory(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Statement(_)
            | Self::Hold(_)
            | Self::Holds(_) => return None,
        })
    }

    /// The instant that it asks about, if it is not that of the call.
    pub fn as_of(&self) -> Option<i64> {
        match self {
            Self::Recalculate(it) => it.as_of(),
            Self::Balance(it) => it.as_of.as_ref().map(micros),
            Self::Balances(it) => it.as_of.as_ref().map(micros),
            Self::Forecast(it) => it.as_of.as_ref().map(micros),
            Self::Progress(it) => it.as_of.as_ref().map(micros),
            _ => None,
        }
    }

    /// Instants that it names, at which what becomes of it may turn.
    pub fn instants(&self) -> Vec<i64> {
        let named = match self.plain() {
            Self::Earn(it) => vec![&it.occurred_at, &it.activates_at, &it.expires_at],
            Self::Adjust(it) => vec![&it.expires_at],
            Self::Override(it) => vec![&it.expires_at],
            Self::Publish(it) => vec![&it.effective_at],
            Self::Import(it) => return it.instants().iter().map(micros).collect(),
            Self::Announce(it) => vec![&it.purchase.occurred_at],
            Self::Batch(it) => {
                let items = batches::requests(it);
                return items.iter().flat_map(Self::instants).collect();
            }
            _ => Vec::new(),
        };
        named.into_iter().flatten().map(micros).collect()
    }
}
