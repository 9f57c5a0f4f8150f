//! Transport: proto in, use case, proto out.

mod adjust;
pub mod audit;
mod balances;
mod batch;
mod dry_run;
mod earn;
mod enrolment;
mod extend;
mod holds;
mod imports;
pub mod limits;
mod lines;
mod listed;
mod members;
mod merges;
mod parse;
mod pending;
mod policies;
pub mod present;
mod programs;
mod recalculation;
mod redeem;
mod reverse;
mod runs;
mod seal;
mod statement;
mod sweep;
pub mod tier_lookup;
mod tier_overrides;
mod tier_progress;
mod tiers;
mod trace;
mod transfer;

use api::loyalty::v1 as pb;
use api::loyalty::v1::loyalty_service_server::LoyaltyService;
use common::mutation::Mutation;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use self::parse::RawOf;
use crate::State;
use crate::error::Error;
use crate::writer::{Order, Posting};

/// The gRPC service.
pub struct Grpc {
    state: State,
}

impl Grpc {
    /// Shares the state of the service.
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LoyaltyService for Grpc {
    type RecalculateTiersStream = recalculation::Batches;
    type SweepExpiryStream = sweep::Batches;
    type ImportTransactionsStream = imports::Answers;

    async fn create_program(
        &self,
        request: Request<pb::CreateProgramRequest>,
    ) -> Answer<pb::CreateProgramResponse> {
        enrolment::create_program(&self.state, request.into_inner()).await
    }

    async fn get_program(
        &self,
        request: Request<pb::GetProgramRequest>,
    ) -> Answer<pb::GetProgramResponse> {
        programs::get(&self.state, request.into_inner()).await
    }

    async fn list_programs(
        &self,
        request: Request<pb::ListProgramsRequest>,
    ) -> Answer<pb::ListProgramsResponse> {
        programs::list(&self.state, request.into_inner()).await
    }

    async fn get_program_summary(
        &self,
        request: Request<pb::GetProgramSummaryRequest>,
    ) -> Answer<pb::GetProgramSummaryResponse> {
        programs::summarise(&self.state, request.into_inner()).await
    }

    async fn enroll_member(
        &self,
        request: Request<pb::EnrollMemberRequest>,
    ) -> Answer<pb::EnrollMemberResponse> {
        enrolment::enroll(&self.state, request.into_inner()).await
    }

    async fn get_member(
        &self,
        request: Request<pb::GetMemberRequest>,
    ) -> Answer<pb::GetMemberResponse> {
        members::get(&self.state, request.into_inner()).await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Answer<pb::ListMembersResponse> {
        members::list(&self.state, request.into_inner()).await
    }

    async fn earn_points(
        &self,
        request: Request<pb::EarnPointsRequest>,
    ) -> Answer<pb::EarnPointsResponse> {
        earn::earn(&self.state, request.into_inner()).await
    }

    async fn redeem_points(
        &self,
        request: Request<pb::RedeemPointsRequest>,
    ) -> Answer<pb::RedeemPointsResponse> {
        redeem::redeem(&self.state, request.into_inner()).await
    }

    async fn reverse_transaction(
        &self,
        request: Request<pb::ReverseTransactionRequest>,
    ) -> Answer<pb::ReverseTransactionResponse> {
        reverse::reverse(&self.state, request.into_inner()).await
    }

    async fn activate_pending(
        &self,
        request: Request<pb::ActivatePendingRequest>,
    ) -> Answer<pb::ActivatePendingResponse> {
        pending::activate(&self.state, request.into_inner()).await
    }

    async fn cancel_pending(
        &self,
        request: Request<pb::CancelPendingRequest>,
    ) -> Answer<pb::CancelPendingResponse> {
        pending::cancel(&self.state, request.into_inner()).await
    }

    async fn adjust_points(
        &self,
        request: Request<pb::AdjustPointsRequest>,
    ) -> Answer<pb::AdjustPointsResponse> {
        adjust::adjust(&self.state, request.into_inner()).await
    }

    async fn merge_members(
        &self,
        request: Request<pb::MergeMembersRequest>,
    ) -> Answer<pb::MergeMembersResponse> {
        merges::merge(&self.state, request.into_inner()).await
    }

    async fn unmerge_members(
        &self,
        request: Request<pb::UnmergeMembersRequest>,
    ) -> Answer<pb::UnmergeMembersResponse> {
        merges::unmerge(&self.state, request.into_inner()).await
    }

    async fn transfer_points(
        &self,
        request: Request<pb::TransferPointsRequest>,
    ) -> Answer<pb::TransferPointsResponse> {
        transfer::transfer(&self.state, request.into_inner()).await
    }

    async fn extend_expiry(
        &self,
        request: Request<pb::ExtendExpiryRequest>,
    ) -> Answer<pb::ExtendExpiryResponse> {
        extend::extend(&self.state, request.into_inner()).await
    }

    async fn batch_post(
        &self,
        request: Request<pb::BatchPostRequest>,
    ) -> Answer<pb::BatchPostResponse> {
        batch::batch(&self.state, request.into_inner()).await
    }

    async fn import_transactions(
        &self,
        request: Request<Streaming<pb::ImportTransactionsRequest>>,
    ) -> Answer<Self::ImportTransactionsStream> {
        Ok(imports::import(&self.state, request.into_inner()))
    }

    async fn authorize_hold(
        &self,
        request: Request<pb::AuthorizeHoldRequest>,
    ) -> Answer<pb::AuthorizeHoldResponse> {
        holds::authorize(&self.state, request.into_inner()).await
    }

    async fn capture_hold(
        &self,
        request: Request<pb::CaptureHoldRequest>,
    ) -> Answer<pb::CaptureHoldResponse> {
        holds::capture(&self.state, request.into_inner()).await
    }

    async fn void_hold(
        &self,
        request: Request<pb::VoidHoldRequest>,
    ) -> Answer<pb::VoidHoldResponse> {
        holds::void(&self.state, request.into_inner()).await
    }

    async fn get_hold(&self, request: Request<pb::GetHoldRequest>) -> Answer<pb::GetHoldResponse> {
        holds::get(&self.state, request.into_inner()).await
    }

    async fn list_holds(
        &self,
        request: Request<pb::ListHoldsRequest>,
    ) -> Answer<pb::ListHoldsResponse> {
        holds::list(&self.state, request.into_inner()).await
    }

    async fn get_balance(
        &self,
        request: Request<pb::GetBalanceRequest>,
    ) -> Answer<pb::GetBalanceResponse> {
        balances::get(&self.state, request.into_inner()).await
    }

    async fn list_balances(
        &self,
        request: Request<pb::ListBalancesRequest>,
    ) -> Answer<pb::ListBalancesResponse> {
        balances::list(&self.state, request.into_inner()).await
    }

    async fn list_transactions(
        &self,
        request: Request<pb::ListTransactionsRequest>,
    ) -> Answer<pb::ListTransactionsResponse> {
        listed::transactions(&self.state, request.into_inner()).await
    }

    async fn list_lots(
        &self,
        request: Request<pb::ListLotsRequest>,
    ) -> Answer<pb::ListLotsResponse> {
        listed::lots(&self.state, request.into_inner()).await
    }

    async fn batch_get_balances(
        &self,
        request: Request<pb::BatchGetBalancesRequest>,
    ) -> Answer<pb::BatchGetBalancesResponse> {
        balances::batch_get(&self.state, request.into_inner()).await
    }

    async fn forecast_expiry(
        &self,
        request: Request<pb::ForecastExpiryRequest>,
    ) -> Answer<pb::ForecastExpiryResponse> {
        balances::forecast(&self.state, request.into_inner()).await
    }

    async fn get_statement(
        &self,
        request: Request<pb::GetStatementRequest>,
    ) -> Answer<pb::GetStatementResponse> {
        statement::get(&self.state, request.into_inner()).await
    }

    async fn get_tier(&self, request: Request<pb::GetTierRequest>) -> Answer<pb::GetTierResponse> {
        let looked = request.extensions().get().copied();
        tiers::get(&self.state, request.into_inner(), looked).await
    }

    async fn batch_get_tiers(
        &self,
        request: Request<pb::BatchGetTiersRequest>,
    ) -> Answer<pb::BatchGetTiersResponse> {
        tiers::batch_get(&self.state, request.into_inner()).await
    }

    async fn list_tier_history(
        &self,
        request: Request<pb::ListTierHistoryRequest>,
    ) -> Answer<pb::ListTierHistoryResponse> {
        tiers::history(&self.state, request.into_inner()).await
    }

    async fn override_tier(
        &self,
        request: Request<pb::OverrideTierRequest>,
    ) -> Answer<pb::OverrideTierResponse> {
        tier_overrides::override_tier(&self.state, request.into_inner()).await
    }

    async fn clear_override(
        &self,
        request: Request<pb::ClearOverrideRequest>,
    ) -> Answer<pb::ClearOverrideResponse> {
        tier_overrides::clear(&self.state, request.into_inner()).await
    }

    async fn get_tier_progress(
        &self,
        request: Request<pb::GetTierProgressRequest>,
    ) -> Answer<pb::GetTierProgressResponse> {
        tier_progress::get(&self.state, request.into_inner()).await
    }

    async fn publish_tier_policy(
        &self,
        request: Request<pb::PublishTierPolicyRequest>,
    ) -> Answer<pb::PublishTierPolicyResponse> {
        policies::publish(&self.state, request.into_inner()).await
    }

    async fn get_tier_policy(
        &self,
        request: Request<pb::GetTierPolicyRequest>,
    ) -> Answer<pb::GetTierPolicyResponse> {
        policies::get(&self.state, request.into_inner()).await
    }

    async fn list_tier_policies(
        &self,
        request: Request<pb::ListTierPoliciesRequest>,
    ) -> Answer<pb::ListTierPoliciesResponse> {
        policies::list(&self.state, request.into_inner()).await
    }

    async fn recalculate_tiers(
        &self,
        request: Request<pb::RecalculateTiersRequest>,
    ) -> Answer<Self::RecalculateTiersStream> {
        recalculation::recalculate(&self.state, request.into_inner()).await
    }

    async fn sweep_expiry(
        &self,
        request: Request<pb::SweepExpiryRequest>,
    ) -> Answer<Self::SweepExpiryStream> {
        sweep::sweep(&self.state, request.into_inner()).await
    }
}

/// Posts once the ledger is as new as the caller asks for.
async fn post<P: Posting>(state: &State, order: Order, posting: P) -> Answer<P::Answer> {
    state.platform.at_least(posting.at_least()).await?;
    state.writer.post(state, order, posting).await
}

/// Ends a mutation. A customer unknown here may only not have been heard of yet: that refusal is not stored,
/// so that a retry can succeed.
async fn finish<T: Message>(mutation: Mutation, outcome: Result<T, Error>) -> Answer<T> {
    match outcome {
        Err(unknown @ (Error::CustomerNotFound(_) | Error::MemberNotFound { .. })) => {
            Err(unknown.into())
        }
        outcome => mutation.finish(outcome).await,
    }
}

fn raw_of<'a>(program_id: &'a str, customer_id: &'a str, at_least: &'a str) -> RawOf<'a> {
    RawOf {
        program_id,
        customer_id,
        currency: "",
        at_least,
    }
}
