//! The RPCs.

use api::customer::v1 as pb;
use api::customer::v1::customer_profile_service_server::CustomerProfileService;
use common::mutation::{Begun, Call};
use common::server::Drain;
use common::token::ConsistencyToken;
use tonic::{Request, Response, Status, Streaming};

use super::{merges, requests, stream};
use crate::error::Error;
use crate::{State, imports, profiles, records, store, summary, timeline, voids};

/// The service behind gRPC.
#[derive(Clone)]
pub struct Grpc {
    state: State,
    drain: Drain,
}

impl Grpc {
    /// Serves from a state; imports end between two chunks when the server drains.
    pub fn new(state: State, drain: Drain) -> Self {
        Self { state, drain }
    }

    /// This service follows no feed: its database holds whatever it will ever know of another service's change.
    async fn at_least(&self, token: &str) -> Result<(), Status> {
        match ConsistencyToken::decode(token)? {
            Some(decoded) if decoded.source == self.state.platform.source => {
                Ok(self.state.platform.at_least(token).await?)
            }
            _ => Ok(()),
        }
    }
}

macro_rules! method {
    ($name:literal) => {
        concat!("asterism.customer.v1.CustomerProfileService/", $name)
    };
}

#[tonic::async_trait]
impl CustomerProfileService for Grpc {
    type ImportCustomersStream = stream::Answers<pb::ImportCustomersResponse>;
    type ImportTransactionsStream = stream::Answers<pb::ImportTransactionsResponse>;

    async fn create_customer(
        &self,
        request: Request<pb::CreateCustomerRequest>,
    ) -> Result<Response<pb::CreateCustomerResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("CreateCustomer"), &request, &request.request_id);
        let create = requests::create(request, self.state.platform.now())?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = profiles::create(&self.state, mutation.tx(), create).await;
        mutation.finish(outcome).await
    }

    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        let request = request.into_inner();
        let id = requests::customer_id(&request.customer_id)?;
        self.at_least(&request.at_least).await?;
        let mut db = self.state.platform.snapshot().await?;
        let customer = store::find(&mut db, &self.state.keys.ring(), &id)
            .await?
            .ok_or(Error::CustomerNotFound(id))?;
        Ok(Response::new(pb::GetCustomerResponse {
            customer: Some((&customer).into()),
        }))
    }

    async fn batch_get_customers(
        &self,
        request: Request<pb::BatchGetCustomersRequest>,
    ) -> Result<Response<pb::BatchGetCustomersResponse>, Status> {
        let request = request.into_inner();
        let ids = requests::customer_ids(&request.customer_ids)?;
        self.at_least(&request.at_least).await?;
        let mut db = self.state.platform.snapshot().await?;
        let found = store::load(
            &mut db,
            &self.state.keys.ring(),
            &ids.iter().cloned().collect(),
        )
        .await?;
        let mut response = pb::BatchGetCustomersResponse::default();
        for id in ids {
            match found.get(&id) {
                Some(customer) => response.customers.push(customer.into()),
                None => response.missing_customer_ids.push(id.into()),
            }
        }
        Ok(Response::new(response))
    }

    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("UpdateCustomer"), &request, &request.request_id);
        let update = requests::update(request, self.state.platform.now())?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = profiles::update(&self.state, mutation.tx(), update).await;
        mutation.finish(outcome).await
    }

    async fn list_customers(
        &self,
        request: Request<pb::ListCustomersRequest>,
    ) -> Result<Response<pb::ListCustomersResponse>, Status> {
        let request = request.into_inner();
        let page = requests::page(request.page_size, &request.page_token, "ListCustomers")?;
        let after: String = page.after().unwrap_or_default();
        let mut db = self.state.platform.snapshot().await?;
        let mut customers =
            store::list(&mut db, &self.state.keys.ring(), &after, page.size + 1).await?;
        let next_page_token = page.cut(&mut customers, |customer| customer.id.to_string());
        let customers = customers.iter().map(Into::into).collect();
        Ok(Response::new(pb::ListCustomersResponse {
            customers,
            next_page_token,
        }))
    }

    async fn delete_customer(
        &self,
        request: Request<pb::DeleteCustomerRequest>,
    ) -> Result<Response<pb::DeleteCustomerResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("DeleteCustomer"), &request, &request.request_id);
        let delete = requests::delete(request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = profiles::delete(&self.state.platform, mutation.tx(), delete).await;
        mutation.finish(outcome).await
    }

    async fn record_transactions(
        &self,
        request: Request<pb::RecordTransactionsRequest>,
    ) -> Result<Response<pb::RecordTransactionsResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("RecordTransactions"), &request, &request.request_id);
        let items = requests::record_transactions(&self.state.platform, request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let recorded = records::record(&self.state, mutation.tx(), &items).await;
        let outcome = recorded.map(|recorded| pb::RecordTransactionsResponse {
            outcomes: recorded.outcomes,
            consistency_token: recorded.token,
        });
        mutation.finish(outcome).await
    }

    async fn void_transaction(
        &self,
        request: Request<pb::VoidTransactionRequest>,
    ) -> Result<Response<pb::VoidTransactionResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("VoidTransaction"), &request, &request.request_id);
        let void = requests::void(request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = voids::void(&self.state.platform, mutation.tx(), void).await;
        mutation.finish(outcome).await
    }

    async fn record_interactions(
        &self,
        request: Request<pb::RecordInteractionsRequest>,
    ) -> Result<Response<pb::RecordInteractionsResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(method!("RecordInteractions"), &request, &request.request_id);
        let items = requests::record_interactions(&self.state.platform, &request)?;
        let mut mutation = match self.state.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let recorded = records::record(&self.state, mutation.tx(), &items).await;
        let outcome = recorded.map(|recorded| pb::RecordInteractionsResponse {
            outcomes: recorded.outcomes,
            consistency_token: recorded.token,
        });
        mutation.finish(outcome).await
    }

    async fn list_timeline(
        &self,
        request: Request<pb::ListTimelineRequest>,
    ) -> Result<Response<pb::ListTimelineResponse>, Status> {
        let request = request.into_inner();
        let list = requests::timeline(&request)?;
        self.at_least(&request.at_least).await?;
        let mut db = self.state.platform.snapshot().await?;
        Ok(Response::new(
            timeline::list(&mut db, &self.state.keys.ring(), &list).await?,
        ))
    }

    async fn import_customers(
        &self,
        request: Request<Streaming<pb::ImportCustomersRequest>>,
    ) -> Result<Response<Self::ImportCustomersStream>, Status> {
        let state = self.state.clone();
        let answers = stream::answer(
            request.into_inner(),
            self.drain.clone(),
            move |request, row_before| {
                let state = state.clone();
                async move {
                    let chunk = requests::import_customers(&state.platform, request, row_before)?;
                    let answer = imports::customers(&state, chunk).await?;
                    let last_row = answer.last_row;
                    Ok((answer, last_row))
                }
            },
        );
        Ok(Response::new(answers))
    }

    async fn import_transactions(
        &self,
        request: Request<Streaming<pb::ImportTransactionsRequest>>,
    ) -> Result<Response<Self::ImportTransactionsStream>, Status> {
        let state = self.state.clone();
        let answers = stream::answer(
            request.into_inner(),
            self.drain.clone(),
            move |request, row_before| {
                let state = state.clone();
                async move {
                    let chunk =
                        requests::import_transactions(&state.platform, request, row_before)?;
                    let answer = imports::transactions(&state, chunk).await?;
                    let last_row = answer.last_row;
                    Ok((answer, last_row))
                }
            },
        );
        Ok(Response::new(answers))
    }

    async fn get_customer_summary(
        &self,
        request: Request<pb::GetCustomerSummaryRequest>,
    ) -> Result<Response<pb::GetCustomerSummaryResponse>, Status> {
        let request = request.into_inner();
        let (id, as_of) = requests::summary(&request, self.state.platform.now())?;
        self.at_least(&request.at_least).await?;
        let mut db = self.state.platform.snapshot().await?;
        let summary = summary::get(&mut db, &self.state.keys.ring(), &id, as_of).await?;
        Ok(Response::new(pb::GetCustomerSummaryResponse {
            summary: Some(summary),
        }))
    }

    async fn merge_customers(
        &self,
        request: Request<pb::MergeCustomersRequest>,
    ) -> Result<Response<pb::MergeCustomersResponse>, Status> {
        merges::merge(&self.state, request.into_inner()).await
    }

    async fn unmerge_customers(
        &self,
        request: Request<pb::UnmergeCustomersRequest>,
    ) -> Result<Response<pb::UnmergeCustomersResponse>, Status> {
        merges::unmerge(&self.state, request.into_inner()).await
    }

    async fn get_merge(
        &self,
        request: Request<pb::GetMergeRequest>,
    ) -> Result<Response<pb::GetMergeResponse>, Status> {
        let request = request.into_inner();
        let merge_id = merges::id(&request.merge_id)?;
        self.at_least(&request.at_least).await?;
        merges::get(&self.state, &merge_id).await
    }

    async fn list_merges(
        &self,
        request: Request<pb::ListMergesRequest>,
    ) -> Result<Response<pb::ListMergesResponse>, Status> {
        let request = request.into_inner();
        let (customer_id, page) = merges::list_of(&request)?;
        self.at_least(&request.at_least).await?;
        merges::list(&self.state, customer_id.as_ref(), &page).await
    }
}
