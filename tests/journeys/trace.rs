//! One trace spans the caller, the service, its feed, and the consumer in another service.

use api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient;
use api::customer::v1::{CreateCustomerRequest, Customer};
use common::telemetry;
use customer_profile::CustomerProfile;
use loyalty_points::Loyalty;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::TestServer;
use tonic::Request;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_caller_service_feed_and_consumer(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let spans = telemetry::init_for_test();
    let trace = match backend {
        Sqlite => "33333333333333333333333333333333",
        Postgres => "44444444444444444444444444444444",
    };
    let customers = TestServer::<CustomerProfile>::start(backend).await;
    let loyalty = TestServer::<Loyalty>::start_with(backend, &[&customers]).await;
    let customer = Customer {
        customer_id: "c1".to_owned(),
        ..Customer::default()
    };
    let mut request = Request::new(CreateCustomerRequest {
        customer: Some(customer),
        ..Default::default()
    });
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().expect("ASCII"));
    let mut client = CustomerProfileServiceClient::new(customers.channel());
    client
        .create_customer(request)
        .await
        .expect("the customer is new");
    loyalty.caught_up(&customers).await;
    let names = spans.of_trace(trace);
    let served = "asterism.customer.v1.CustomerProfileService/CreateCustomer";
    assert!(names.iter().any(|name| name == served), "{names:?}");
    assert!(names.iter().any(|name| name == "apply"), "{names:?}");
}
