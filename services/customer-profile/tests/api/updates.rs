//! Updating customers: masks and etags.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::support::{
    Client, changes, create, customer, full_customer, get, history, map, purchase, record, start,
};

async fn update(
    client: &mut Client,
    customer: pb::Customer,
    paths: &[&str],
) -> Result<pb::UpdateCustomerResponse, Status> {
    let paths = paths.iter().map(ToString::to_string).collect();
    let request = pb::UpdateCustomerRequest {
        customer: Some(customer),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: String::new(),
    };
    client
        .update_customer(request)
        .await
        .map(tonic::Response::into_inner)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_mask_says_what_changes(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();

    // Without a mask, populated fields are taken.
    let given = pb::Customer {
        name: Some(pb::PersonName {
            given_name: "Eve".to_owned(),
            ..Default::default()
        }),
        external_ids: map(&[("crm", "new"), ("web", "w")]),
        ..customer("c1")
    };
    let updated = update(&mut client, given, &[]).await.unwrap();
    assert_eq!(updated.changed_fields, ["name.given_name", "external_ids"]);
    let after = updated.customer.unwrap();
    assert_eq!(after.name.as_ref().unwrap().family_name, "Smith");
    assert_eq!((after.etag.as_str(), after.revision), ("\"2\"", 2));

    // A named field is cleared when it is empty.
    let updated = update(&mut client, customer("c1"), &["name", "tags"])
        .await
        .unwrap();
    let after = updated.customer.unwrap();
    assert_eq!((after.name, after.tags.len()), (None, 0));
    assert_eq!(after.industry, "retail");

    // A star replaces everything.
    let updated = update(&mut client, customer("c1"), &["*"]).await.unwrap();
    let after = updated.customer.unwrap();
    let empty = pb::Customer {
        created_at: after.created_at,
        updated_at: after.updated_at,
        etag: "\"4\"".to_owned(),
        revision: 4,
        ..customer("c1")
    };
    assert_eq!(after, empty);
    assert_eq!(get(&mut client, "c1").await.unwrap(), empty);

    // What is so already is no change.
    let same = update(&mut client, customer("c1"), &["*"]).await.unwrap();
    assert_eq!(
        (same.changed_fields.len(), same.customer.unwrap().revision),
        (0, 4)
    );
    let kinds: Vec<_> = history(&server, "c1").await;
    assert_eq!(kinds.len(), 4);
    assert_eq!(kinds[3], (4, "CustomerUpdated".to_owned()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_is_refused_and_a_purchase_does_not_make_it_stale(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let created = create(&mut client, full_customer("c1"))
        .await
        .unwrap()
        .customer
        .unwrap();
    record(&mut client, vec![purchase("c1", "1")])
        .await
        .unwrap();
    let first = pb::Customer {
        industry: "banking".to_owned(),
        ..created.clone()
    };
    let updated = update(&mut client, first, &["industry"]).await.unwrap();
    assert_eq!(updated.customer.unwrap().revision, 3);
    let second = pb::Customer {
        industry: "mining".to_owned(),
        ..created
    };
    let refused = update(&mut client, second, &["industry"]).await;
    assert_refused(refused, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(get(&mut client, "c1").await.unwrap().industry, "banking");
    assert_eq!(changes(&server).await.len(), 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_customers_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    create(&mut client, full_customer("c2")).await.unwrap();
    let status = update(&mut client, customer("c1"), &["nome", "tags", "etag"])
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["update_mask", "update_mask"]);
    let unknown = update(&mut client, customer("nobody"), &["*"]).await;
    assert_refused(unknown, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let thief = pb::Customer {
        external_ids: map(&[("crm", "crm-c1")]),
        ..customer("c2")
    };
    let refused = update(&mut client, thief, &[]).await;
    assert_refused(refused, Code::AlreadyExists, "EXTERNAL_ID_TAKEN");
    assert_eq!(
        get(&mut client, "c2").await.unwrap().external_ids,
        map(&[("crm", "crm-c2")])
    );
    assert_eq!(changes(&server).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_update_is_applied_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let created = create(&mut client, customer("c1"))
        .await
        .unwrap()
        .customer
        .unwrap();
    let request = pb::UpdateCustomerRequest {
        customer: Some(pb::Customer {
            industry: "retail".to_owned(),
            ..created
        }),
        update_mask: None,
        request_id: "u-1".to_owned(),
    };
    let first = client
        .update_customer(request.clone())
        .await
        .unwrap()
        .into_inner();
    // Without the stored answer the etag would be stale now.
    let second = client.update_customer(request).await.unwrap().into_inner();
    assert_eq!(first, second);
    assert_eq!(changes(&server).await.len(), 2);
}
