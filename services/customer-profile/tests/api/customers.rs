//! Creating, reading and listing customers.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::support::{
    Client, changes, contact, create, customer, full_customer, get, history, map, start,
};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_reads_back_as_created(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let created = create(&mut client, full_customer("c1")).await.unwrap();
    let created_customer = created.customer.unwrap();
    assert_eq!(get(&mut client, "c1").await.unwrap(), created_customer);

    let expected = pb::Customer {
        tags: vec!["early".to_owned(), "vip".to_owned()],
        created_at: created_customer.created_at,
        updated_at: created_customer.created_at,
        etag: "\"1\"".to_owned(),
        revision: 1,
        ..full_customer("c1")
    };
    assert_eq!(created_customer, expected);
    assert_eq!(
        history(&server, "c1").await,
        [(1, "CustomerCreated".to_owned())]
    );

    let token = created.consistency_token;
    let request = pb::GetCustomerRequest {
        customer_id: "c1".to_owned(),
        at_least: token,
    };
    assert!(client.get_customer(request).await.is_ok());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_server_makes_an_id_when_none_is_given(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    let created = create(&mut client, customer(""))
        .await
        .unwrap()
        .customer
        .unwrap();
    assert_eq!(created.customer_id.len(), 36);
    assert_eq!(
        get(&mut client, &created.customer_id).await.unwrap(),
        created
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_a_customer_is_named_and_nothing_is_created(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let bad = pb::Customer {
        customer_id: "a b".to_owned(),
        name: Some(pb::PersonName {
            given_name: "x".repeat(201),
            ..Default::default()
        }),
        contacts: vec![
            contact(pb::ContactType::Unspecified, "x"),
            contact(pb::ContactType::Email, "nobody"),
            contact(pb::ContactType::Web, "a"),
            contact(pb::ContactType::Web, "a"),
        ],
        address: Some(pb::PostalAddress {
            country_code: "de".to_owned(),
            ..Default::default()
        }),
        birth_date: "1980-02-30".to_owned(),
        gender: 99,
        industry: "a\0b".to_owned(),
        source: "x".repeat(101),
        tags: vec![" a".to_owned()],
        attributes: map(&[("a b", "c")]),
        external_ids: map(&[("", "c")]),
        ..Default::default()
    };
    let request = pb::CreateCustomerRequest {
        customer: Some(bad),
        request_id: "x".repeat(65),
    };
    let status = client.create_customer(request).await.unwrap_err();
    let fields = [
        "request_id",
        "customer.customer_id",
        "customer.industry",
        "customer.source",
        "customer.name.given_name",
        "customer.contacts[0].type",
        "customer.contacts[1].value",
        "customer.contacts[3]",
        "customer.address.country_code",
        "customer.birth_date",
        "customer.gender",
        "customer.tags[0]",
        "customer.attributes",
        "customer.external_ids",
    ];
    assert_eq!(violations(&status), fields);
    assert_refused(
        Err::<(), _>(status),
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert!(changes(&server).await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ids_and_external_ids_belong_to_one_customer(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    let again = create(&mut client, customer("c1")).await;
    assert_refused(again, Code::AlreadyExists, "CUSTOMER_ALREADY_EXISTS");
    let thief = pb::Customer {
        external_ids: map(&[("crm", "crm-c1")]),
        ..customer("c2")
    };
    let refused = create(&mut client, thief).await;
    let details = assert_refused(refused, Code::AlreadyExists, "EXTERNAL_ID_TAKEN");
    assert_eq!(details.error_info().unwrap().metadata["customer_id"], "c1");
    assert_refused(
        get(&mut client, "c2").await,
        Code::NotFound,
        "CUSTOMER_NOT_FOUND",
    );
    assert_eq!(changes(&server).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_id_creates_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let request = pb::CreateCustomerRequest {
        customer: Some(customer("")),
        request_id: "r-1".to_owned(),
    };
    let first = client.create_customer(request.clone()).await.unwrap();
    let second = client.create_customer(request.clone()).await.unwrap();
    assert!(first.metadata().get("asterism-replayed").is_none());
    assert_eq!(second.metadata().get("asterism-replayed").unwrap(), "true");
    assert_eq!(first.into_inner(), second.into_inner());

    let other = pb::CreateCustomerRequest {
        customer: Some(customer("c9")),
        ..request
    };
    let refused = client.create_customer(other).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(changes(&server).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_keeps_the_order_asked_for_and_lists_the_missing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    for id in ["a", "b"] {
        create(&mut client, full_customer(id)).await.unwrap();
    }
    let ask = |ids: &[&str]| pb::BatchGetCustomersRequest {
        customer_ids: ids.iter().map(ToString::to_string).collect(),
        at_least: String::new(),
    };
    let found = client
        .batch_get_customers(ask(&["b", "x", "a", "b"]))
        .await
        .unwrap()
        .into_inner();
    let ids: Vec<_> = found
        .customers
        .iter()
        .map(|c| c.customer_id.as_str())
        .collect();
    assert_eq!(
        (ids, found.missing_customer_ids),
        (vec!["b", "a"], vec!["x".to_owned()])
    );
    assert_eq!(found.customers[0].external_ids, map(&[("crm", "crm-b")]));

    let refused = client
        .batch_get_customers(ask(&["a", "b c", ""]))
        .await
        .unwrap_err();
    assert_eq!(violations(&refused), ["customer_ids[1]", "customer_ids[2]"]);
    assert!(client.batch_get_customers(ask(&[])).await.is_err());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_list_every_customer_once_in_the_order_of_ids(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    // Byte order: upper case before lower case, on both databases.
    let ids = ["Zoe", "a-1", "a.2", "b_3", "~4"];
    for id in ids.iter().rev() {
        create(&mut client, customer(id)).await.unwrap();
    }
    let mut expected = ids.map(str::to_owned).to_vec();
    expected.sort();
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&mut client, 2, &token).await.unwrap();
        assert!(page.customers.len() <= 2);
        listed.extend(
            page.customers
                .into_iter()
                .map(|customer| customer.customer_id),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, expected);
    for (size, token, field) in [(2, "nonsense", "page_token"), (-1, "", "page_size")] {
        let status = list(&mut client, size, token).await.unwrap_err();
        assert_eq!(violations(&status), [field]);
    }
}

async fn list(
    client: &mut Client,
    page_size: i32,
    page_token: &str,
) -> Result<pb::ListCustomersResponse, tonic::Status> {
    let request = pb::ListCustomersRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    client
        .list_customers(request)
        .await
        .map(tonic::Response::into_inner)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn consistency_tokens_are_checked_and_other_services_tokens_are_no_obstacle(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let ask = |at_least: String| pb::GetCustomerRequest {
        customer_id: "c1".to_owned(),
        at_least,
    };
    let bad = client
        .get_customer(ask("nonsense".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(violations(&bad), ["at_least"]);
    let foreign = common::token::ConsistencyToken {
        source: "loyalty".to_owned(),
        customer_id: common::ids::CustomerId::parse("c1").unwrap(),
        revision: 99,
    };
    assert!(client.get_customer(ask(foreign.encode())).await.is_ok());
}

/// Statuses travel in headers, of which clients take few: what is wrong is told as far as it fits.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_violations_arrive_as_a_refusal(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    let request = pb::BatchGetCustomersRequest {
        customer_ids: vec!["a b".to_owned(); 1000],
        at_least: String::new(),
    };
    let status = client.batch_get_customers(request).await.unwrap_err();
    assert_eq!(
        violations(&status)[..2],
        ["customer_ids[0]", "customer_ids[1]"]
    );
    let long = pb::UpdateCustomerRequest {
        customer: Some(customer("c1")),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["x".repeat(100_000)],
        }),
        request_id: String::new(),
    };
    let refused = client.update_customer(long).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_REQUEST");
}
