//! The clients the demo uses, one for each service.

use std::time::Duration;

use api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use api::feed::v1::{AwaitPositionRequest, GetHeadRequest};
use api::feedback::v1::survey_service_client::SurveyServiceClient;
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use common::client::{ClientConfig, Peer, connect};
use tonic::{Request, Status};

/// Catching up may take this long.
const CATCH_UP: Duration = Duration::from_mins(2);

/// Where the four services are.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Of customer-profile, for example `http://127.0.0.1:50051`.
    pub customer: String,
    /// Of loyalty-points.
    pub loyalty: String,
    /// Of segmentation.
    pub segmentation: String,
    /// Of feedback.
    pub feedback: String,
}

impl Addresses {
    /// All four behind one address.
    pub fn all_at(address: &str) -> Self {
        let address = address.to_owned();
        Self {
            customer: address.clone(),
            loyalty: address.clone(),
            segmentation: address.clone(),
            feedback: address,
        }
    }
}

/// Clients of the four services.
#[derive(Clone)]
pub struct Clients {
    /// Customers and their transactions.
    pub customers: CustomerProfileServiceClient<Peer>,
    /// Points and tiers.
    pub loyalty: LoyaltyServiceClient<Peer>,
    /// RFM and stars.
    pub segmentation: SegmentationServiceClient<Peer>,
    /// Surveys.
    pub surveys: SurveyServiceClient<Peer>,
    customer_feed: ChangeFeedServiceClient<Peer>,
    consumers: Vec<(&'static str, ConsumerServiceClient<Peer>)>,
}

impl Clients {
    /// Connects lazily. `token_file` holds the bearer token where callers are authenticated.
    pub fn connect(
        addresses: &Addresses,
        token_file: Option<std::path::PathBuf>,
    ) -> Result<Self, Status> {
        let config = ClientConfig {
            token_file,
            ..ClientConfig::default()
        };
        Self::connect_as(&config, addresses)
    }

    /// Connects lazily, with whatever the services want to see.
    pub fn connect_as(config: &ClientConfig, addresses: &Addresses) -> Result<Self, Status> {
        let customer = connect(&addresses.customer, config)?;
        let loyalty = connect(&addresses.loyalty, config)?;
        let segmentation = connect(&addresses.segmentation, config)?;
        let feedback = connect(&addresses.feedback, config)?;
        Ok(Self {
            customer_feed: ChangeFeedServiceClient::new(customer.clone()),
            customers: CustomerProfileServiceClient::new(customer),
            consumers: vec![
                (
                    "loyalty.customer",
                    ConsumerServiceClient::new(loyalty.clone()),
                ),
                (
                    "segmentation.customer",
                    ConsumerServiceClient::new(segmentation.clone()),
                ),
                (
                    "feedback.customer",
                    ConsumerServiceClient::new(feedback.clone()),
                ),
            ],
            loyalty: LoyaltyServiceClient::new(loyalty),
            segmentation: SegmentationServiceClient::new(segmentation),
            surveys: SurveyServiceClient::new(feedback),
        })
    }

    /// Returns once every service has applied everything that customer-profile has recorded so far.
    pub async fn caught_up(&self) -> Result<(), Status> {
        let request = GetHeadRequest {
            source: "customer".to_owned(),
        };
        let head = self
            .customer_feed
            .clone()
            .get_head(request)
            .await?
            .into_inner()
            .position;
        for (consumer, client) in &self.consumers {
            let mut request = Request::new(AwaitPositionRequest {
                consumer: (*consumer).to_owned(),
                position: head.clone(),
            });
            request.set_timeout(CATCH_UP);
            client.clone().await_position(request).await?;
        }
        Ok(())
    }
}
