//! Transport: requests are read, handed to a use case, and what comes back is put into responses.

mod jobs;
mod model_requests;
mod requests;
pub mod responses;

use std::collections::HashMap;

use api::segmentation::v1 as pb;
use api::segmentation::v1::segmentation_service_server::SegmentationService;
use common::money::Currency;
use common::mutation::{Begun, Call};
use common::platform::Platform;
use tonic::{Request, Response, Status};

use crate::frozen::FrozenCache;
use crate::ratings;
use crate::store::{self, ratings as rows};
use crate::{distribution, features, models, rfm};
use requests::or_now;

/// The gRPC service.
#[derive(Clone)]
pub struct Grpc {
    pub platform: Platform,
    pub currency: Currency,
    pub frozen: FrozenCache,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SegmentationService for Grpc {
    async fn get_features(
        &self,
        request: Request<pb::GetFeaturesRequest>,
    ) -> Answer<pb::GetFeaturesResponse> {
        let request = request.into_inner();
        let of = requests::of_customer(&request.customer_id, request.as_of)?;
        self.platform.at_least(&request.at_least).await?;
        let mut snapshot = self.platform.snapshot().await?;
        let as_of = or_now(of.moment, self.platform.now());
        let found = features::get(&mut snapshot, &of.customer, as_of).await?;
        let features = Some(responses::features(&found, &self.currency));
        Ok(Response::new(pb::GetFeaturesResponse { features }))
    }

    async fn compute_rfm(
        &self,
        request: Request<pb::ComputeRfmRequest>,
    ) -> Answer<pb::ComputeRfmResponse> {
        self.run_compute_rfm(request.into_inner()).await
    }

    async fn get_rfm(&self, request: Request<pb::GetRfmRequest>) -> Answer<pb::GetRfmResponse> {
        let request = request.into_inner();
        let (customer, of) = requests::get_rfm(&request, self.platform.now())?;
        self.platform.at_least(&request.at_least).await?;
        let mut snapshot = self.platform.snapshot().await?;
        let (run, score) = rfm::get(&mut snapshot, &customer, &of.run_id, of.as_of).await?;
        let score = Some(responses::rfm_score(&run.run_id, &score, &self.currency));
        Ok(Response::new(pb::GetRfmResponse { score }))
    }

    async fn get_rfm_grid(
        &self,
        request: Request<pb::GetRfmGridRequest>,
    ) -> Answer<pb::GetRfmGridResponse> {
        let request = request.into_inner();
        let of = requests::of_run(&request.run_id, request.as_of, self.platform.now())?;
        let mut snapshot = self.platform.snapshot().await?;
        let (run, cells) = rfm::grid(
            &mut snapshot,
            &of.run_id,
            of.as_of,
            request.split_by_monetary,
        )
        .await?;
        let cells = cells
            .iter()
            .map(|cell| responses::rfm_cell(cell, &self.currency))
            .collect();
        let run = Some(responses::rfm_run(&run)?);
        Ok(Response::new(pb::GetRfmGridResponse { run, cells }))
    }

    async fn create_rating_model(
        &self,
        request: Request<pb::CreateRatingModelRequest>,
    ) -> Answer<pb::CreateRatingModelResponse> {
        const METHOD: &str = "asterism.segmentation.v1.SegmentationService/CreateRatingModel";
        let request = request.into_inner();
        let create = model_requests::create_model(&request)?;
        let call = Call::new(METHOD, &request, &request.request_id);
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let created = models::create(&self.platform, mutation.tx(), create).await;
        let outcome = created.and_then(|model| {
            Ok(pb::CreateRatingModelResponse {
                model: Some(responses::model(&model)?),
            })
        });
        mutation.finish(outcome).await
    }

    async fn get_rating_model(
        &self,
        request: Request<pb::GetRatingModelRequest>,
    ) -> Answer<pb::GetRatingModelResponse> {
        let model_id = requests::model_id(&request.into_inner().model_id)?;
        let mut snapshot = self.platform.snapshot().await?;
        let (model, reference) = models::get(&mut snapshot, &model_id).await?;
        Ok(Response::new(pb::GetRatingModelResponse {
            model: Some(responses::model(&model)?),
            reference: reference.as_ref().map(responses::reference).transpose()?,
        }))
    }

    async fn activate_rating_model(
        &self,
        request: Request<pb::ActivateRatingModelRequest>,
    ) -> Answer<pb::ActivateRatingModelResponse> {
        self.run_activate(request.into_inner()).await
    }

    async fn build_reference(
        &self,
        request: Request<pb::BuildReferenceRequest>,
    ) -> Answer<pb::BuildReferenceResponse> {
        self.run_build_reference(request.into_inner()).await
    }

    async fn rerate_customers(
        &self,
        request: Request<pb::RerateCustomersRequest>,
    ) -> Answer<pb::RerateCustomersResponse> {
        self.run_rerate(request.into_inner()).await
    }

    async fn get_rating(
        &self,
        request: Request<pb::GetRatingRequest>,
    ) -> Answer<pb::GetRatingResponse> {
        let request = request.into_inner();
        let rating = self
            .rating(&request.customer_id, request.as_of, &request.at_least)
            .await?;
        let consistency_token = match rating.revision {
            0 => String::new(),
            revision => self.platform.token(&rating.customer_id, revision),
        };
        let rating = Some(responses::rating(&rating));
        Ok(Response::new(pb::GetRatingResponse {
            rating,
            consistency_token,
        }))
    }

    async fn batch_get_ratings(
        &self,
        request: Request<pb::BatchGetRatingsRequest>,
    ) -> Answer<pb::BatchGetRatingsResponse> {
        let (customers, moment) = requests::batch(&request.into_inner())?;
        let mut snapshot = self.platform.snapshot().await?;
        let existing = store::existing_customers(&mut snapshot, &customers).await?;
        let now = self.platform.now();
        let found = ratings::list(&mut snapshot, &self.frozen, &existing, moment, now).await?;
        let found: HashMap<_, _> = found
            .iter()
            .map(|rating| (&rating.customer_id, responses::rating(rating)))
            .collect();
        let mut response = pb::BatchGetRatingsResponse::default();
        for customer in &customers {
            match found.get(customer) {
                Some(rating) => response.ratings.push(rating.clone()),
                None => response.unrated.push(pb::UnratedCustomer {
                    customer_id: customer.to_string(),
                    reason: "CUSTOMER_NOT_FOUND".to_owned(),
                }),
            }
        }
        Ok(Response::new(response))
    }

    async fn explain_rating(
        &self,
        request: Request<pb::ExplainRatingRequest>,
    ) -> Answer<pb::ExplainRatingResponse> {
        let request = request.into_inner();
        let rating = self
            .rating(&request.customer_id, request.as_of, &request.at_least)
            .await?;
        let mut snapshot = self.platform.snapshot().await?;
        let explained = ratings::explain(&mut snapshot, rating, &self.currency).await?;
        let explanation = Some(responses::explanation(&explained));
        Ok(Response::new(pb::ExplainRatingResponse { explanation }))
    }

    async fn list_rating_history(
        &self,
        request: Request<pb::ListRatingHistoryRequest>,
    ) -> Answer<pb::ListRatingHistoryResponse> {
        let request = request.into_inner();
        let (customer, page) = requests::history(&request)?;
        self.platform.at_least(&request.at_least).await?;
        let mut snapshot = self.platform.snapshot().await?;
        store::get_customer(&mut snapshot, &customer).await?;
        let mut found = rows::list_history(&mut snapshot, &customer, &page).await?;
        let next_page_token = page.cut(&mut found, |row| row.rating.revision);
        let entries = found.iter().map(responses::history_entry).collect();
        Ok(Response::new(pb::ListRatingHistoryResponse {
            entries,
            next_page_token,
        }))
    }

    async fn list_by_star(
        &self,
        request: Request<pb::ListByStarRequest>,
    ) -> Answer<pb::ListByStarResponse> {
        let (stars, page) = requests::by_star(&request.into_inner())?;
        let mut reader = self.platform.reader().await?;
        let mut found = rows::list_by_star(&mut reader, stars, &page).await?;
        let next_page_token = page.cut(&mut found, |row| {
            (row.score_ppm, row.customer_id.to_string())
        });
        let ratings = found.iter().map(responses::rating).collect();
        Ok(Response::new(pb::ListByStarResponse {
            ratings,
            next_page_token,
        }))
    }

    async fn get_star_distribution(
        &self,
        request: Request<pb::GetStarDistributionRequest>,
    ) -> Answer<pb::GetStarDistributionResponse> {
        let (moment, window_days) = requests::distribution(&request.into_inner())?;
        let mut snapshot = self.platform.snapshot().await?;
        let now = self.platform.now();
        let found =
            distribution::get(&mut snapshot, &self.frozen, moment, window_days, now).await?;
        Ok(Response::new(responses::distribution(
            &found,
            &self.currency,
        )))
    }
}

impl Grpc {
    async fn rating(
        &self,
        customer_id: &str,
        as_of: Option<prost_types::Timestamp>,
        at_least: &str,
    ) -> Result<rows::RatingRow, Status> {
        let of = requests::of_customer(customer_id, as_of)?;
        self.platform.at_least(at_least).await?;
        let mut snapshot = self.platform.snapshot().await?;
        let now = self.platform.now();
        let rating = ratings::get(&mut snapshot, &self.frozen, &of.customer, of.moment, now).await;
        Ok(rating?)
    }
}
