//! A segmentation service, the customer feed it follows, and what happens to customers.

use std::collections::HashMap;

use api::customer::v1 as customer;
use api::feed::v1::ReadChangesRequest;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::segmentation::v1 as pb;
use api::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use api::r#type::v1::Money;
use prost::Name as _;
use prost_types::Timestamp;
use segmentation::Segmentation;
use testkit::{Backend, FeedSource, TestServer, until};
use tonic::transport::Channel;

pub const USD: i64 = 1_000_000;
/// The service's clock at the start of a test.
pub const NOW: &str = "2026-07-01T12:00:00Z";

pub type Client = SegmentationServiceClient<Channel>;

pub struct World {
    pub customers: FeedSource,
    pub server: TestServer<Segmentation>,
    pub client: Client,
    revisions: HashMap<String, i64>,
}

/// A purchase; fields that do not matter keep their defaults.
pub struct Buy<'a> {
    pub customer: &'a str,
    pub id: &'a str,
    pub on: &'a str,
    pub micros: i64,
    pub categories: &'a [&'a str],
    pub currency: &'a str,
}

impl Default for Buy<'_> {
    fn default() -> Self {
        Self {
            customer: "c1",
            id: "t1",
            on: "2026-06-01",
            micros: 10 * USD,
            categories: &[],
            currency: "USD",
        }
    }
}

impl Buy<'_> {
    pub fn transaction(&self) -> customer::Transaction {
        let money = |micros| {
            Some(Money {
                currency_code: self.currency.to_owned(),
                micros,
            })
        };
        let line = |category: &&str| customer::TransactionLine {
            category: (*category).to_owned(),
            quantity: 1,
            amount: money(0),
            ..Default::default()
        };
        customer::Transaction {
            transaction_id: self.id.to_owned(),
            customer_id: self.customer.to_owned(),
            occurred_at: at(self.on),
            total: money(self.micros),
            lines: self.categories.iter().map(line).collect(),
            ..Default::default()
        }
    }
}

/// Midnight of a day, or an instant.
#[expect(
    clippy::unnecessary_wraps,
    reason = "every field it is for is optional"
)]
pub fn at(day: &str) -> Option<Timestamp> {
    let text = if day.contains('T') {
        day.to_owned()
    } else {
        format!("{day}T00:00:00Z")
    };
    Some(testkit::time(&text).into())
}

impl World {
    pub async fn start(backend: Backend) -> Self {
        let customers = FeedSource::start("customer", backend).await;
        let server = TestServer::<Segmentation>::start_with(backend, &[&customers]).await;
        server.clock.set(testkit::time(NOW));
        let client = SegmentationServiceClient::new(server.channel());
        Self {
            customers,
            server,
            client,
            revisions: HashMap::new(),
        }
    }

    pub fn next_revision(&mut self, customer: &str) -> i64 {
        let revision = self.revisions.entry(customer.to_owned()).or_default();
        *revision += 1;
        *revision
    }

    pub async fn creates(&mut self, customer: &str) {
        let revision = self.next_revision(customer);
        let facts = customer::CustomerFacts {
            customer_id: customer.to_owned(),
            ..Default::default()
        };
        let event = customer::CustomerCreated {
            customer: Some(facts),
        };
        self.customers.emit(customer, revision, &event).await;
    }

    pub async fn buys(&mut self, buy: Buy<'_>) {
        let revision = self.next_revision(buy.customer);
        let event = customer::TransactionRecorded {
            customer_id: buy.customer.to_owned(),
            transaction: Some(buy.transaction()),
        };
        self.customers.emit(buy.customer, revision, &event).await;
    }

    pub async fn voids(&mut self, buy: Buy<'_>) {
        let revision = self.next_revision(buy.customer);
        let event = customer::TransactionVoided {
            customer_id: buy.customer.to_owned(),
            transaction: Some(buy.transaction()),
            reason: "returned".to_owned(),
        };
        self.customers.emit(buy.customer, revision, &event).await;
    }

    pub async fn deletes(&mut self, customer: &str) {
        let revision = self.next_revision(customer);
        let event = customer::CustomerDeleted {
            customer_id: customer.to_owned(),
        };
        self.customers.emit(customer, revision, &event).await;
    }

    pub async fn caught_up(&self) {
        self.server.caught_up(&self.customers).await;
    }

    /// Ten customers c01 … c10; the n-th spent n × 10 dollars in n orders in June. c10 is the best.
    pub async fn ten_customers(&mut self) {
        for n in 1..=10 {
            let customer = format!("c{n:02}");
            self.creates(&customer).await;
            for order in 1..=n {
                let id = format!("t{order}");
                self.buys(Buy {
                    customer: &customer,
                    id: &id,
                    ..Buy::default()
                })
                .await;
            }
        }
        self.caught_up().await;
    }

    pub async fn builds_reference(&mut self) -> pb::BuildReferenceResponse {
        let response = self
            .client
            .build_reference(pb::BuildReferenceRequest::default())
            .await;
        response.unwrap().into_inner()
    }

    pub async fn features(&mut self, customer: &str, as_of: &str) -> pb::Features {
        let request = pb::GetFeaturesRequest {
            customer_id: customer.to_owned(),
            as_of: at(as_of),
            ..Default::default()
        };
        self.client
            .get_features(request)
            .await
            .unwrap()
            .into_inner()
            .features
            .unwrap()
    }

    pub async fn rating(&mut self, customer: &str) -> pb::Rating {
        let request = pb::GetRatingRequest {
            customer_id: customer.to_owned(),
            ..Default::default()
        };
        self.client
            .get_rating(request)
            .await
            .unwrap()
            .into_inner()
            .rating
            .unwrap()
    }

    pub async fn rerates(&mut self) -> pb::RerateSummary {
        let response = self
            .client
            .rerate_customers(pb::RerateCustomersRequest::default())
            .await;
        response.unwrap().into_inner().summary.unwrap()
    }

    /// The `RatingChanged` events of a customer so far, up to the newest change stored.
    pub async fn changes_told(&self, customer: &str) -> Vec<pb::RatingChanged> {
        let is_told = async || {
            let told = self.changes_published(customer).await;
            let stored = self.history(customer).await;
            let stored = stored.first().map(|entry| entry.rating.as_ref());
            let told = told.last().map(|changed| changed.rating.as_ref());
            told.flatten().map(|rating| rating.revision)
                == stored.flatten().map(|rating| rating.revision)
        };
        until("the newest change is published", is_told).await;
        self.changes_published(customer).await
    }

    async fn changes_published(&self, customer: &str) -> Vec<pb::RatingChanged> {
        let mut feed = ChangeFeedServiceClient::new(self.server.channel());
        let request = ReadChangesRequest {
            source: "segmentation".to_owned(),
            event_types: vec![pb::RatingChanged::full_name()],
            page_size: 1000,
            ..Default::default()
        };
        let page = feed.read_changes(request).await.unwrap().into_inner();
        let of_customer = page
            .events
            .into_iter()
            .filter(|event| event.customer_id == customer);
        of_customer
            .map(|event| event.payload.unwrap().to_msg().unwrap())
            .collect()
    }

    pub async fn history(&self, customer: &str) -> Vec<pb::RatingHistoryEntry> {
        let request = pb::ListRatingHistoryRequest {
            customer_id: customer.to_owned(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        client
            .list_rating_history(request)
            .await
            .unwrap()
            .into_inner()
            .entries
    }
}
