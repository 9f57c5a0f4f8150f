//! Fixtures: what a test does not say is of no importance to it.

use std::collections::BTreeMap;

use api::customer::v1 as pb;
use api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient;
use api::feed::v1 as feed;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::r#type::v1::Money;
use customer_profile::CustomerProfile;
use testkit::{Backend, TestServer};
use tonic::Status;
use tonic::transport::Channel;

pub type Server = TestServer<CustomerProfile>;
pub type Client = CustomerProfileServiceClient<Channel>;

pub async fn start(backend: Backend) -> (Server, Client) {
    let server = Server::start(backend).await;
    let client = CustomerProfileServiceClient::new(server.channel());
    (server, client)
}

pub fn customer(id: &str) -> pb::Customer {
    pb::Customer {
        customer_id: id.to_owned(),
        ..Default::default()
    }
}

/// A customer with every field set.
pub fn full_customer(id: &str) -> pb::Customer {
    pb::Customer {
        customer_id: id.to_owned(),
        name: Some(pb::PersonName {
            display_name: "Dr Ann Smith".to_owned(),
            given_name: "Ann".to_owned(),
            family_name: "Smith".to_owned(),
        }),
        contacts: vec![
            contact(pb::ContactType::Email, "ann@example.org"),
            contact(pb::ContactType::Phone, "+49 30 1234567"),
        ],
        address: Some(pb::PostalAddress {
            lines: vec!["Main Street 1".to_owned()],
            city: "Berlin".to_owned(),
            region: "Berlin".to_owned(),
            postal_code: "10115".to_owned(),
            country_code: "DE".to_owned(),
        }),
        birth_date: "1980-02-29".to_owned(),
        gender: pb::Gender::Female.into(),
        industry: "retail".to_owned(),
        source: "webshop".to_owned(),
        tags: vec!["vip".to_owned(), "early".to_owned()],
        attributes: map(&[("size", "XL")]),
        external_ids: map(&[("crm", &format!("crm-{id}"))]),
        ..Default::default()
    }
}

pub fn contact(kind: pb::ContactType, value: &str) -> pb::Contact {
    pb::Contact {
        r#type: kind.into(),
        value: value.to_owned(),
        label: "work".to_owned(),
    }
}

pub fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn dollars(dollars: i64) -> Money {
    Money {
        currency_code: "USD".to_owned(),
        micros: dollars * 1_000_000,
    }
}

pub fn at(time: &str) -> prost_types::Timestamp {
    testkit::time(time).into()
}

/// A purchase for five dollars.
pub fn purchase(customer_id: &str, external_id: &str) -> pb::Transaction {
    pb::Transaction {
        customer_id: customer_id.to_owned(),
        source: "pos".to_owned(),
        external_id: external_id.to_owned(),
        occurred_at: Some(at("2025-06-01T12:00:00Z")),
        total: Some(dollars(5)),
        ..Default::default()
    }
}

pub fn line(sku: &str, quantity: i64, amount: Money) -> pb::TransactionLine {
    pb::TransactionLine {
        sku: sku.to_owned(),
        category: "toys".to_owned(),
        quantity,
        amount: Some(amount),
    }
}

pub fn call(customer_id: &str, external_id: &str) -> pb::Interaction {
    pb::Interaction {
        customer_id: customer_id.to_owned(),
        source: "helpdesk".to_owned(),
        external_id: external_id.to_owned(),
        channel: pb::Channel::Phone.into(),
        r#type: "complaint".to_owned(),
        subject: "late parcel of Mr Jones".to_owned(),
        occurred_at: Some(at("2025-06-02T12:00:00Z")),
        ..Default::default()
    }
}

pub async fn create(
    client: &mut Client,
    customer: pb::Customer,
) -> Result<pb::CreateCustomerResponse, Status> {
    let request = pb::CreateCustomerRequest {
        customer: Some(customer),
        request_id: String::new(),
    };
    client
        .create_customer(request)
        .await
        .map(tonic::Response::into_inner)
}

pub async fn get(client: &mut Client, id: &str) -> Result<pb::Customer, Status> {
    let request = pb::GetCustomerRequest {
        customer_id: id.to_owned(),
        at_least: String::new(),
    };
    let response = client.get_customer(request).await?.into_inner();
    Ok(response.customer.expect("an answer has the customer"))
}

pub async fn record(
    client: &mut Client,
    transactions: Vec<pb::Transaction>,
) -> Result<Vec<pb::RecordOutcome>, Status> {
    let request = pb::RecordTransactionsRequest {
        transactions,
        request_id: String::new(),
    };
    Ok(client
        .record_transactions(request)
        .await?
        .into_inner()
        .outcomes)
}

pub async fn interact(
    client: &mut Client,
    interactions: Vec<pb::Interaction>,
) -> Result<Vec<pb::RecordOutcome>, Status> {
    let request = pb::RecordInteractionsRequest {
        interactions,
        request_id: String::new(),
    };
    Ok(client
        .record_interactions(request)
        .await?
        .into_inner()
        .outcomes)
}

pub fn statuses(outcomes: &[pb::RecordOutcome]) -> Vec<pb::RecordStatus> {
    outcomes.iter().map(pb::RecordOutcome::status).collect()
}

/// Every change so far, in order.
pub async fn changes(server: &Server) -> Vec<feed::Event> {
    let mut client = ChangeFeedServiceClient::new(server.channel());
    // Asking for the head makes everything committed visible.
    client
        .get_head(feed::GetHeadRequest::default())
        .await
        .unwrap();
    let mut events = Vec::new();
    let mut after_position = String::new();
    loop {
        let request = feed::ReadChangesRequest {
            after_position: after_position.clone(),
            page_size: 1000,
            ..Default::default()
        };
        let page = client.read_changes(request).await.unwrap().into_inner();
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
        after_position = page.next_position;
    }
}

/// Revision and short type of each change of a customer.
pub async fn history(server: &Server, customer_id: &str) -> Vec<(i64, String)> {
    let of_customer = |event: &feed::Event| event.customer_id == customer_id;
    let short = |event: feed::Event| {
        let url = event.payload.unwrap().type_url;
        (event.revision, url.rsplit('.').next().unwrap().to_owned())
    };
    changes(server)
        .await
        .into_iter()
        .filter(of_customer)
        .map(short)
        .collect()
}
