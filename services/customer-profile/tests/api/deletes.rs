//! Deleting customers.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::{Code, Status};

use crate::support::dollars;
use crate::support::{
    Client, call, changes, create, customer, full_customer, get, history, interact, line, purchase,
    record, start, statuses,
};

async fn delete(
    client: &mut Client,
    id: &str,
    etag: &str,
) -> Result<pb::DeleteCustomerResponse, Status> {
    let request = pb::DeleteCustomerRequest {
        customer_id: id.to_owned(),
        etag: etag.to_owned(),
        request_id: String::new(),
    };
    client
        .delete_customer(request)
        .await
        .map(tonic::Response::into_inner)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_customer_leaves_nothing_but_the_retired_id(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    let bought = pb::Transaction {
        lines: vec![line("a", 1, dollars(5))],
        ..purchase("c1", "1")
    };
    record(&mut client, vec![bought]).await.unwrap();
    interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    delete(&mut client, "c1", "").await.unwrap();

    assert_refused(
        get(&mut client, "c1").await,
        Code::NotFound,
        "CUSTOMER_NOT_FOUND",
    );
    let again = delete(&mut client, "c1", "").await;
    assert_refused(again, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let reused = create(&mut client, customer("c1")).await;
    assert_refused(reused, Code::FailedPrecondition, "CUSTOMER_ID_RETIRED");
    assert_eq!(
        history(&server, "c1").await.last().unwrap(),
        &(4, "CustomerDeleted".to_owned())
    );

    // External ids and natural keys are free again.
    let successor = pb::Customer {
        customer_id: "c2".to_owned(),
        ..full_customer("c1")
    };
    create(&mut client, successor).await.unwrap();
    let outcomes = record(&mut client, vec![purchase("c2", "1")])
        .await
        .unwrap();
    assert_eq!(statuses(&outcomes), [pb::RecordStatus::Recorded]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_keeps_the_customer(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let etag = create(&mut client, full_customer("c1"))
        .await
        .unwrap()
        .customer
        .unwrap()
        .etag;
    assert_refused(
        delete(&mut client, "c1", "\"7\"").await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    assert!(get(&mut client, "c1").await.is_ok());
    assert_eq!(changes(&server).await.len(), 1);
    delete(&mut client, "c1", &etag).await.unwrap();
    let malformed = delete(&mut client, "a b", "").await;
    assert_refused(malformed, Code::InvalidArgument, "INVALID_REQUEST");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_deletion_is_answered_again_and_its_id_is_bound_to_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let request = pb::DeleteCustomerRequest {
        customer_id: "c1".to_owned(),
        etag: String::new(),
        request_id: "d-1".to_owned(),
    };
    let first = client
        .delete_customer(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        client
            .delete_customer(request.clone())
            .await
            .unwrap()
            .into_inner(),
        first
    );
    let other = pb::DeleteCustomerRequest {
        customer_id: "c2".to_owned(),
        ..request
    };
    let reused = client.delete_customer(other).await;
    assert_refused(reused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(changes(&server).await.len(), 2);
}
