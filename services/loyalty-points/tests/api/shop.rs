//! A running service with customers and purchases to set up in one line each.

use std::sync::atomic::{AtomicI64, Ordering};

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use common::on;
use common::time::Timestamp;
use loyalty_points::Loyalty;
use pb::loyalty_service_client::LoyaltyServiceClient;
use pb::reverse_transaction_request::Extent;
use testkit::{Backend, FeedSource, Setup, TestServer};
use tonic::Status;
use tonic::transport::Channel;

/// The clock's start in every test.
pub const NOW: &str = "1998-07-01T00:00:00Z";

pub struct Shop {
    pub customers: FeedSource,
    pub server: TestServer<Loyalty>,
    pub client: LoyaltyServiceClient<Channel>,
    revision: AtomicI64,
}

impl Shop {
    pub async fn open(backend: Backend) -> Self {
        Self::open_as(backend, Setup::default()).await
    }

    pub async fn open_as(backend: Backend, setup: Setup<Loyalty>) -> Self {
        let customers = FeedSource::start("customer", backend).await;
        let server = TestServer::start_as(backend, &[&customers], setup).await;
        server.clock.set(testkit::time(NOW));
        Self::over(customers, server)
    }

    /// Opens over a service that the test has started.
    pub fn over(customers: FeedSource, server: TestServer<Loyalty>) -> Self {
        let client = LoyaltyServiceClient::new(server.channel());
        Self {
            customers,
            server,
            client,
            revision: AtomicI64::new(0),
        }
    }

    /// Opens with one customer, who is a member of the default program.
    pub async fn with_member(backend: Backend, customer_id: &str) -> Self {
        let shop = Self::open(backend).await;
        shop.created(customer_id).await;
        shop.caught_up().await;
        shop
    }

    pub async fn caught_up(&self) {
        self.server.caught_up(&self.customers).await;
    }

    /// Announces a new customer; returns the token of the creation.
    pub async fn created(&self, customer_id: &str) -> String {
        let facts = customer::CustomerFacts {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let event = customer::CustomerCreated {
            customer: Some(facts),
        };
        let revision = self.next();
        self.customers.emit(customer_id, revision, &event).await;
        self.customers.token(customer_id, revision)
    }

    pub async fn deleted(&self, customer_id: &str) {
        let event = customer::CustomerDeleted {
            customer_id: customer_id.to_owned(),
        };
        self.customers.emit(customer_id, self.next(), &event).await;
    }

    pub async fn bought(&self, customer_id: &str, purchase: Purchase<'_>) {
        self.recorded(customer_id, purchase.transaction(customer_id))
            .await;
    }

    pub async fn recorded(&self, customer_id: &str, transaction: customer::Transaction) {
        let event = customer::TransactionRecorded {
            customer_id: customer_id.to_owned(),
            transaction: Some(transaction),
        };
        self.customers.emit(customer_id, self.next(), &event).await;
    }

    pub async fn voided(&self, customer_id: &str, purchase: Purchase<'_>) {
        let event = customer::TransactionVoided {
            customer_id: customer_id.to_owned(),
            transaction: Some(purchase.transaction(customer_id)),
            reason: "returned".to_owned(),
        };
        self.customers.emit(customer_id, self.next(), &event).await;
    }

    pub async fn earn(
        &mut self,
        customer_id: &str,
        points: i64,
        source_ref: &str,
    ) -> pb::EarnPointsResponse {
        self.try_earn(earn(customer_id, points, source_ref))
            .await
            .unwrap()
    }

    pub async fn try_earn(
        &mut self,
        request: pb::EarnPointsRequest,
    ) -> Result<pb::EarnPointsResponse, Status> {
        Ok(self.client.earn_points(request).await?.into_inner())
    }

    pub async fn redeem(
        &mut self,
        customer_id: &str,
        points: i64,
    ) -> Result<pb::RedeemPointsResponse, Status> {
        let request = redeem(customer_id, points);
        Ok(self.client.redeem_points(request).await?.into_inner())
    }

    /// Takes a part of an earning back.
    pub async fn take_back(&mut self, customer_id: &str, transaction_id: &str, extent: Extent) {
        let request = pb::ReverseTransactionRequest {
            customer_id: customer_id.to_owned(),
            transaction_id: transaction_id.to_owned(),
            extent: Some(extent),
            ..Default::default()
        };
        let taken_back = self.client.reverse_transaction(request).await;
        taken_back.expect("it is taken back");
    }

    pub async fn reverse(
        &mut self,
        customer_id: &str,
        transaction_id: &str,
    ) -> Result<pb::ReverseTransactionResponse, Status> {
        let request = pb::ReverseTransactionRequest {
            customer_id: customer_id.to_owned(),
            transaction_id: transaction_id.to_owned(),
            reason: "test".to_owned(),
            ..Default::default()
        };
        Ok(self.client.reverse_transaction(request).await?.into_inner())
    }

    /// Available, pending, debt.
    pub async fn balance(&mut self, customer_id: &str) -> (i64, i64, i64) {
        self.balance_at(customer_id, None).await
    }

    pub async fn balance_at(
        &mut self,
        customer_id: &str,
        as_of: Option<Timestamp>,
    ) -> (i64, i64, i64) {
        let request = pb::GetBalanceRequest {
            customer_id: customer_id.to_owned(),
            as_of: as_of.map(Into::into),
            ..Default::default()
        };
        let balance = self
            .client
            .get_balance(request)
            .await
            .unwrap()
            .into_inner()
            .balance
            .unwrap();
        (balance.available, balance.pending, balance.debt)
    }

    pub async fn transactions(&self, customer_id: &str) -> Vec<pb::LedgerTransaction> {
        let request = pb::ListTransactionsRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let answer = client.list_transactions(request).await;
        answer.unwrap().into_inner().transactions
    }

    /// What the member's transactions are and come to, the latest first.
    pub async fn moves(&self, customer_id: &str) -> Vec<(pb::TransactionKind, i64)> {
        let transactions = self.transactions(customer_id).await;
        let moves = transactions.iter();
        moves.map(|told| (told.kind(), told.points)).collect()
    }

    pub async fn lots(&mut self, customer_id: &str) -> Vec<pb::Lot> {
        let request = pb::ListLotsRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        self.client
            .list_lots(request)
            .await
            .unwrap()
            .into_inner()
            .lots
    }

    pub async fn tier(&mut self, customer_id: &str) -> pb::MemberTier {
        let request = tier(customer_id);
        self.client
            .get_tier(request)
            .await
            .unwrap()
            .into_inner()
            .tier
            .unwrap()
    }

    pub async fn tier_history(&mut self, customer_id: &str) -> Vec<pb::TierChange> {
        let request = pb::ListTierHistoryRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        self.client
            .list_tier_history(request)
            .await
            .unwrap()
            .into_inner()
            .changes
    }

    pub async fn summary(&mut self) -> pb::GetProgramSummaryResponse {
        let request = pb::GetProgramSummaryRequest::default();
        self.client
            .get_program_summary(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Runs a statement that the API would not.
    pub async fn execute(&self, statement: &'static str) -> Result<(), sqlx::Error> {
        let mut tx = self.server.platform.tx().await.unwrap();
        on!(&mut tx, |conn| sqlx::query(statement)
            .execute(conn)
            .await
            .map(drop))?;
        tx.commit().await.unwrap();
        Ok(())
    }

    /// Announces something else about a customer.
    pub async fn emit<E: prost::Message + prost::Name>(&self, customer_id: &str, event: &E) {
        self.customers.emit(customer_id, self.next(), event).await;
    }

    fn next(&self) -> i64 {
        self.revision.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// A purchase in the customer service.
#[derive(Debug, Clone, Copy)]
pub struct Purchase<'a> {
    pub id: &'a str,
    pub at: &'a str,
    pub currency: &'a str,
    pub micros: i64,
}

impl<'a> Purchase<'a> {
    pub fn dollars(id: &'a str, at: &'a str, dollars: i64) -> Self {
        Self {
            id,
            at,
            currency: "USD",
            micros: dollars * 1_000_000,
        }
    }

    pub fn transaction(&self, customer_id: &str) -> customer::Transaction {
        customer::Transaction {
            transaction_id: self.id.to_owned(),
            customer_id: customer_id.to_owned(),
            source: "pos".to_owned(),
            external_id: self.id.to_owned(),
            occurred_at: Some(testkit::time(self.at).into()),
            total: Some(Money {
                currency_code: self.currency.to_owned(),
                micros: self.micros,
            }),
            ..Default::default()
        }
    }
}

pub fn earn(customer_id: &str, points: i64, source_ref: &str) -> pb::EarnPointsRequest {
    pb::EarnPointsRequest {
        customer_id: customer_id.to_owned(),
        points,
        source_type: "promotion".to_owned(),
        source_ref: source_ref.to_owned(),
        ..Default::default()
    }
}

/// Points held for so many seconds.
pub fn authorize(customer_id: &str, points: i64, seconds: i64) -> pb::AuthorizeHoldRequest {
    pb::AuthorizeHoldRequest {
        customer_id: customer_id.to_owned(),
        points,
        timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    }
}

pub fn redeem(customer_id: &str, points: i64) -> pb::RedeemPointsRequest {
    pb::RedeemPointsRequest {
        customer_id: customer_id.to_owned(),
        points,
        ..Default::default()
    }
}

pub fn tier(customer_id: &str) -> pb::GetTierRequest {
    pb::GetTierRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    }
}

/// An optional field of a request or response.
#[expect(clippy::unnecessary_wraps, reason = "goes into optional fields")]
pub fn at(rfc3339: &str) -> Option<prost_types::Timestamp> {
    Some(testkit::time(rfc3339).into())
}
