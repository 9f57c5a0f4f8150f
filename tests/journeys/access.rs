//! Who may do what, over real processes.

use api::customer::v1::{CreateCustomerRequest, Customer, GetCustomerRequest};
use api::loyalty::v1 as loyalty;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_tells_whose_token_posted() {
    let suite = Suite::start().await;
    let create = CreateCustomerRequest {
        customer: Some(Customer {
            customer_id: "c1".to_owned(),
            ..Customer::default()
        }),
        ..CreateCustomerRequest::default()
    };
    let created = suite.clients().customers.create_customer(create).await;
    let at_least = created.expect("it is new").into_inner().consistency_token;

    let token = token::token_file(suite.folder.path(), "ann", token::all_scopes());
    let mut ann = suite.clients_with(Some(token)).loyalty;
    let earn = loyalty::EarnPointsRequest {
        customer_id: "c1".to_owned(),
        points: 5,
        source_type: "promotion".to_owned(),
        source_ref: "s1".to_owned(),
        at_least,
        ..loyalty::EarnPointsRequest::default()
    };
    let token = token::token_file(suite.folder.path(), "bob", token::all_scopes());
    let mut bob = suite.clients_with(Some(token)).loyalty;
    let redeem = loyalty::RedeemPointsRequest {
        customer_id: "c1".to_owned(),
        points: 2,
        ..loyalty::RedeemPointsRequest::default()
    };
    let earned = ann.earn_points(earn).await.expect("ann may").into_inner();
    let spent = bob
        .redeem_points(redeem)
        .await
        .expect("bob may")
        .into_inner();
    let actor = |posting: Option<loyalty::LedgerTransaction>| posting.map(|it| it.actor);
    let told = (actor(earned.transaction), actor(spent.transaction));
    assert_eq!(told, (Some("ann".to_owned()), Some("bob".to_owned())));
}
