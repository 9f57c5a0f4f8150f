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
mod merges;
mod parse;
mod pending;
mod policies;
pub mod present;
mod recalculation;
mod redeem;
mod reverse;
mod statement;
mod sweep;
pub mod tier_lookup;
mod tier_overrides;
mod tier_progress;
mod trace;
mod transfer;

use api::loyalty::v1 as pb;
use api::loyalty::v1::loyalty_service_server::LoyaltyService;
use common::mutation::Mutation;
use common::page::PageRequest;
use common::validate::Violations;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use self::parse::{RawOf, RawPage};
use crate::domain::lots::Lot;
use crate::error::Error;
use crate::ledger::reads;
use crate::members;
use crate::store::postings::PostingRow;
use crate::tiers;
use crate::tiers::reads::{Wanted, WantedMany};
use crate::writer::{Order, Posting};
use crate::{State, programs};

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
        let request = request.into_inner();
        let mut v = Violations::new();
        let program_id = parse::program_id(&mut v, &request.program_id);
        let (program_id,) = v.all((program_id,))?;
        let mut db = self.state.platform.reader().await?;
        let program = self.state.programs.current(&mut db, &program_id).await?;
        let program = Some(present::program(&program, self.state.platform.now()));
        Ok(Response::new(pb::GetProgramResponse { program }))
    }

    async fn list_programs(
        &self,
        request: Request<pb::ListProgramsRequest>,
    ) -> Answer<pb::ListProgramsResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let page = PageRequest::parse(
            &mut v,
            request.page_size,
            &request.page_token,
            "ListPrograms",
        );
        let (page,) = v.all((page,))?;
        let (programs, next_page_token) = programs::list(&self.state, &page).await?;
        let now = self.state.platform.now();
        let programs = programs
            .iter()
            .map(|program| present::program(program, now))
            .collect();
        Ok(Response::new(pb::ListProgramsResponse {
            programs,
            next_page_token,
        }))
    }

    async fn get_program_summary(
        &self,
        request: Request<pb::GetProgramSummaryRequest>,
    ) -> Answer<pb::GetProgramSummaryResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let program_id = parse::program_id(&mut v, &request.program_id);
        let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
        let (program_id,) = v.all((program_id,))?;
        let summary = programs::summarise(&self.state, program_id, as_of).await?;
        Ok(Response::new(present::summary(summary)))
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
        let request = request.into_inner();
        let mut v = Violations::new();
        let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
        let of = parse::of(&mut v, &raw);
        let (of,) = v.all((of,))?;
        self.state.platform.at_least(&of.at_least).await?;
        let mut db = self.state.platform.reader().await?;
        let member = members::get(&self.state, &mut db, &of.program_id, &of.customer_id).await?;
        Ok(Response::new(pb::GetMemberResponse {
            member: Some(present::member(&member)),
        }))
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Answer<pb::ListMembersResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let program_id = parse::program_id(&mut v, &request.program_id);
        let raw = raw_of(&request.program_id, "", "");
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = parse::page_of(
            &mut v,
            &raw,
            &RawPage {
                size,
                token,
                list: "ListMembers",
            },
        );
        let (program_id, page) = v.all((program_id, page))?;
        let (rows, next_page_token) = members::list(&self.state, &program_id, &page).await?;
        let members = rows.iter().map(present::member).collect();
        Ok(Response::new(pb::ListMembersResponse {
            members,
            next_page_token,
        }))
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
        let request = request.into_inner();
        let mut v = Violations::new();
        let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
        let raw = raw.in_currency(&request.points_currency);
        let of = parse::of(&mut v, &raw);
        let (as_of, posted_by) = (request.as_of.as_ref(), request.posted_by.as_ref());
        let at = parse::instants(&mut v, as_of, posted_by, self.state.platform.now());
        let (of,) = v.all((of,))?;
        self.state.platform.at_least(&of.at_least).await?;
        let (balance, currency) = reads::balance(&self.state, &of, at).await?;
        Ok(Response::new(pb::GetBalanceResponse {
            balance: Some(present::balance(balance, &currency)),
        }))
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
        let request = request.into_inner();
        let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
        let raw = raw.in_currency(&request.points_currency);
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = RawPage {
            size,
            token,
            list: "ListTransactions",
        };
        let (of, page) = parse::member_page(&raw, &page)?;
        self.state.platform.at_least(&of.at_least).await?;
        let told = reads::transactions(&self.state, &of, &page).await?;
        let transaction = |(row, entries): &(PostingRow, Vec<_>)| {
            present::transaction(row, entries, told.program.code_of(&row.wallet))
        };
        Ok(Response::new(pb::ListTransactionsResponse {
            transactions: told.items.iter().map(transaction).collect(),
            next_page_token: told.next_token,
        }))
    }

    async fn list_lots(
        &self,
        request: Request<pb::ListLotsRequest>,
    ) -> Answer<pb::ListLotsResponse> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
        let raw = raw.in_currency(&request.points_currency);
        let of = parse::of(&mut v, &raw);
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = parse::page_of(
            &mut v,
            &raw,
            &RawPage {
                size,
                token,
                list: "ListLots",
            },
        );
        let as_of = parse::instant(&mut v, "as_of", request.as_of.as_ref());
        let (of, page) = v.all((of, page))?;
        self.state.platform.at_least(&of.at_least).await?;
        let told = reads::lots(&self.state, &of, &page).await?;
        let as_of = as_of.unwrap_or_else(|| self.state.platform.now());
        let lot = |(lot, posting_id): &(Lot, String)| {
            let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
            present::lot(
                lot,
                &present::LotOf {
                    program_id,
                    customer_id,
                    currency: told.program.code_of(&lot.wallet),
                    posting_id,
                    as_of,
                },
            )
        };
        Ok(Response::new(pb::ListLotsResponse {
            lots: told.items.iter().map(lot).collect(),
            next_page_token: told.next_token,
        }))
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
        let wanted = Wanted::try_from(request.into_inner())?;
        self.state.platform.at_least(&wanted.at_least).await?;
        let (program, standing) = tiers::reads::get(&self.state, &wanted, looked).await?;
        let tier = Some(present::tier(&program, &wanted.customer_id, standing));
        Ok(Response::new(pb::GetTierResponse { tier }))
    }

    async fn batch_get_tiers(
        &self,
        request: Request<pb::BatchGetTiersRequest>,
    ) -> Answer<pb::BatchGetTiersResponse> {
        let wanted = WantedMany::try_from(request.into_inner())?;
        self.state.platform.at_least(&wanted.at_least).await?;
        let (program, standings) = tiers::reads::get_many(&self.state, &wanted).await?;
        let mut response = pb::BatchGetTiersResponse::default();
        for (customer_id, standing) in wanted.customer_ids.iter().zip(standings) {
            match standing {
                Some(standing) => {
                    response
                        .tiers
                        .push(present::tier(&program, customer_id, standing));
                }
                None => response.missing_customer_ids.push(customer_id.to_string()),
            }
        }
        Ok(Response::new(response))
    }

    async fn list_tier_history(
        &self,
        request: Request<pb::ListTierHistoryRequest>,
    ) -> Answer<pb::ListTierHistoryResponse> {
        let request = request.into_inner();
        let raw = raw_of(&request.program_id, &request.customer_id, &request.at_least);
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = RawPage {
            size,
            token,
            list: "ListTierHistory",
        };
        let (of, page) = parse::member_page(&raw, &page)?;
        self.state.platform.at_least(&of.at_least).await?;
        let (rows, next_page_token) = reads::tier_history(&self.state, &of, &page).await?;
        let changes = rows.iter().map(present::tier_change).collect();
        Ok(Response::new(pb::ListTierHistoryResponse {
            changes,
            next_page_token,
        }))
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
