//! Mutations over the whole base. They work in many transactions of their own and are harmless when run
//! twice, so an answer given before is looked for first, and this one is stored last.

use api::segmentation::v1 as pb;
use common::mutation::{Begun, Call};
use prost::Message;
use tonic::Response;

use super::{Answer, Grpc, requests, responses};
use crate::error::Error;
use crate::models;
use crate::reference;
use crate::rerate::rerate_all;
use crate::rfm;

impl Grpc {
    pub(super) async fn run_compute_rfm(
        &self,
        request: pb::ComputeRfmRequest,
    ) -> Answer<pb::ComputeRfmResponse> {
        const METHOD: &str = "asterism.segmentation.v1.SegmentationService/ComputeRfm";
        let run = requests::compute_rfm(&request, self.platform.now())?;
        let call = || Call::new(METHOD, &request, &request.request_id);
        self.job(call, async {
            let run = rfm::compute(&self.platform, run).await?;
            Ok(pb::ComputeRfmResponse {
                run: Some(responses::rfm_run(&run)?),
            })
        })
        .await
    }

    pub(super) async fn run_activate(
        &self,
        request: pb::ActivateRatingModelRequest,
    ) -> Answer<pb::ActivateRatingModelResponse> {
        const METHOD: &str = "asterism.segmentation.v1.SegmentationService/ActivateRatingModel";
        let model_id = requests::activate_model(&request)?;
        let call = || Call::new(METHOD, &request, &request.request_id);
        self.job(call, async {
            let mut tx = self.platform.tx().await?;
            let model = models::activate(&mut tx, &model_id).await?;
            tx.commit().await?;
            let summary = match model.reference_id {
                Some(_) => {
                    Some(rerate_all(&self.platform, &self.frozen, self.platform.now()).await?)
                }
                None => None,
            };
            Ok(pb::ActivateRatingModelResponse {
                model: Some(responses::model(&model)?),
                summary: summary.map(responses::summary),
            })
        })
        .await
    }

    pub(super) async fn run_build_reference(
        &self,
        request: pb::BuildReferenceRequest,
    ) -> Answer<pb::BuildReferenceResponse> {
        const METHOD: &str = "asterism.segmentation.v1.SegmentationService/BuildReference";
        let (model_id, as_of) = requests::build_reference(&request, self.platform.now())?;
        let call = || Call::new(METHOD, &request, &request.request_id);
        self.job(call, async {
            let built = reference::build(&self.platform, &self.frozen, &model_id, as_of).await?;
            Ok(pb::BuildReferenceResponse {
                reference: Some(responses::reference(&built.reference)?),
                summary: built.summary.map(responses::summary),
            })
        })
        .await
    }

    pub(super) async fn run_rerate(
        &self,
        request: pb::RerateCustomersRequest,
    ) -> Answer<pb::RerateCustomersResponse> {
        const METHOD: &str = "asterism.segmentation.v1.SegmentationService/RerateCustomers";
        let as_of = requests::rerate(&request, self.platform.now())?;
        let call = || Call::new(METHOD, &request, &request.request_id);
        self.job(call, async {
            let frozen = self
                .frozen
                .get_current(&mut self.platform.reader().await?)
                .await?;
            let summary = rerate_all(&self.platform, &self.frozen, as_of).await?;
            Ok(pb::RerateCustomersResponse {
                summary: Some(responses::summary(summary)),
                model_id: frozen.model_id.clone(),
                reference_id: frozen.reference_id.clone(),
            })
        })
        .await
    }

    async fn job<T: Message + Default>(
        &self,
        call: impl Fn() -> Call,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Response<T>, tonic::Status> {
        if let Begun::Replayed(answer) = self.platform.begin(call()).await? {
            return answer;
        }
        let outcome = work.await;
        match self.platform.begin(call()).await? {
            Begun::Replayed(answer) => answer,
            Begun::Fresh(mutation) => mutation.finish(outcome).await,
        }
    }
}
