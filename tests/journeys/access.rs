//! Who may do what, over real processes.

use api::customer::v1::{CreateCustomerRequest, Customer, GetCustomerRequest};
use journeys::token;
use testkit::assert_refused;
use tonic::Code;

use crate::suite::Suite;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_needs_a_token_with_the_scope() {
    let suite = Suite::start().await;
    let create = CreateCustomerRequest {
        customer: Some(Customer {
            customer_id: "c1".to_owned(),
            ..Customer::default()
        }),
        ..CreateCustomerRequest::default()
    };
    let read = GetCustomerRequest {
        customer_id: "c1".to_owned(),
        ..GetCustomerRequest::default()
    };

    let mut stranger = suite.clients_with(None).customers;
    let refused = stranger.create_customer(create.clone()).await;
    assert_refused(refused, Code::Unauthenticated, "TOKEN_MISSING");

    let reads = token::all_scopes().filter(|scope| scope.split('.').next_back() == Some("read"));
    let reader = token::token_file(suite.folder.path(), "reader", reads);
    let mut reader = suite.clients_with(Some(reader)).customers;
    let refused = reader.create_customer(create.clone()).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_SCOPE");
    let absent = reader.get_customer(read.clone()).await;
    assert_refused(absent, Code::NotFound, "CUSTOMER_NOT_FOUND");

    let mut writer = suite.clients().customers;
    writer
        .create_customer(create)
        .await
        .expect("this token has every scope");
    reader
        .get_customer(read)
        .await
        .expect("what was written can be read");
}
