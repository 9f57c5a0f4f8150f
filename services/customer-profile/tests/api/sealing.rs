//! Personal data at rest: sealed, bound to its place, and readable through rotations of the keys.

mod behind;
mod earlier;
mod erasure;
mod rotation;

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use behind::{change, contains, dump, files};

use crate::support::{Client, call, create, customer, full_customer, get, interact, start};

const REQUEST: &str = "0c8ae5cd-5a5c-4d7b-8b4e-4a7bd7a9d0aa";

/// A customer of whom every personal value is unlike anything else that is stored.
fn person(id: &str) -> pb::Customer {
    let mut person = full_customer(id);
    person.name = Some(pb::PersonName {
        display_name: "Doctor Xanthippe Quux".to_owned(),
        given_name: "Xanthippe".to_owned(),
        family_name: "Quuxington".to_owned(),
    });
    person.address = person.address.map(|address| pb::PostalAddress {
        lines: vec!["Zanzibar Lane 77".to_owned()],
        city: "Timbuktu".to_owned(),
        postal_code: "ZX-98765-Q".to_owned(),
        ..address
    });
    person
}

const PERSONAL: [&str; 11] = [
    "Xanthippe",
    "Quux",
    "ann@example.org",
    "1234567",
    "Zanzibar",
    "Timbuktu",
    "ZX-98765",
    "1980-02-29",
    "female",
    "Mr Jones",
    "Ypsilanti",
];

async fn subject(client: &mut Client, id: &str) -> Result<String, tonic::Status> {
    let request = pb::ListTimelineRequest {
        customer_id: id.to_owned(),
        ..Default::default()
    };
    let entries = client.list_timeline(request).await?.into_inner().entries;
    match entries.into_iter().next().and_then(|entry| entry.entry) {
        Some(pb::timeline_entry::Entry::Interaction(interaction)) => Ok(interaction.subject),
        other => panic!("no interaction: {other:?}"),
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_table_holds_personal_data_in_the_clear(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut server, mut client) = start(backend).await;
    let request = pb::CreateCustomerRequest {
        customer: Some(person("c1")),
        request_id: REQUEST.to_owned(),
    };
    let created = client.create_customer(request.clone()).await.unwrap();
    let created = created.into_inner();
    interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    let mut renamed = person("c1");
    renamed.name.get_or_insert_default().given_name = "Ypsilanti".to_owned();
    let update = pb::UpdateCustomerRequest {
        customer: Some(renamed),
        request_id: "8f2cb80f-22d9-46fd-8f39-9d0d1d2a3c11".to_owned(),
        ..Default::default()
    };
    client.update_customer(update).await.unwrap();
    let import = pb::ImportCustomersRequest {
        rows: vec![pb::CustomerRow {
            row: 1,
            customer: Some(person("c2")),
        }],
    };
    let answers = client.import_customers(tokio_stream::iter([import])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    assert_eq!(answer.unwrap().outcomes.len(), 1);

    let stored = dump(&server).await;
    // What is not sealed is found: the search works.
    for open in ["c1", "webshop", "crm-c1", "complaint"] {
        assert!(contains(&stored, open.as_bytes()), "{open}");
    }
    for secret in PERSONAL {
        assert!(!contains(&stored, secret.as_bytes()), "{secret}");
    }
    let name = get(&mut client, "c1").await.unwrap().name.unwrap();
    assert_eq!(name.given_name, "Ypsilanti");
    assert_eq!(
        get(&mut client, "c2").await.unwrap().address,
        person("c2").address
    );
    assert_eq!(
        subject(&mut client, "c1").await.unwrap(),
        "late parcel of Mr Jones"
    );
    let again = client.create_customer(request).await.unwrap();
    assert!(again.metadata().get("asterism-replayed").is_some());
    assert_eq!(again.into_inner(), created);

    let folder = files(&server).await;
    server.stop().await;
    let bytes: Vec<_> = folder
        .iter()
        .flat_map(|folder| behind::read_all(folder))
        .collect();
    // The schema itself, which is in the file, knows the word.
    for secret in PERSONAL.into_iter().filter(|secret| *secret != "female") {
        assert!(!contains(&bytes, secret.as_bytes()), "{secret}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cell_moved_to_another_customer_or_column_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    for id in ["c1", "c2", "c3"] {
        create(&mut client, person(id)).await.unwrap();
    }
    let cell = "UPDATE personal_data SET given_name_sealed =
        (SELECT given_name_sealed FROM personal_data WHERE customer_id = 'c2') WHERE customer_id = 'c1'";
    change(&server, cell).await.unwrap();
    let swapped =
        "UPDATE personal_data SET given_name_sealed = family_name_sealed WHERE customer_id = 'c3'";
    change(&server, swapped).await.unwrap();
    for id in ["c1", "c3"] {
        let status = get(&mut client, id).await.unwrap_err();
        assert!(!status.message().contains("Xanthippe"), "{status:?}");
        assert_refused::<()>(Err(status), Code::DataLoss, "SEALED_DATA_BROKEN");
    }
    assert_eq!(
        get(&mut client, "c2").await.unwrap().name,
        person("c2").name
    );
    // A list without them would look complete. They can be deleted, which opens nothing.
    let list = client
        .list_customers(pb::ListCustomersRequest::default())
        .await;
    assert_refused(list, Code::DataLoss, "SEALED_DATA_BROKEN");
    for id in ["c1", "c3"] {
        erasure::delete(&mut client, id).await.unwrap();
    }
    let list = client
        .list_customers(pb::ListCustomersRequest::default())
        .await;
    assert_eq!(list.unwrap().into_inner().customers.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_key_nor_a_subject_nor_an_answer_can_be_moved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
        interact(&mut client, vec![call(id, id)]).await.unwrap();
    }
    let other = "UPDATE interaction SET subject_sealed =
        (SELECT subject_sealed FROM interaction WHERE customer_id = 'c2') WHERE customer_id = 'c1'";
    change(&server, other).await.unwrap();
    let moved = subject(&mut client, "c1").await;
    assert_refused(moved, Code::DataLoss, "SEALED_DATA_BROKEN");
    subject(&mut client, "c2").await.unwrap();

    let key = "UPDATE data_key SET wrapped_key =
        (SELECT wrapped_key FROM data_key WHERE customer_id = 'c2') WHERE customer_id = 'c1'";
    change(&server, key).await.unwrap();
    let refused = get(&mut client, "c1").await;
    assert_refused(refused, Code::DataLoss, "SEALED_DATA_BROKEN");
    get(&mut client, "c2").await.unwrap();

    let other = "3f0f9d5e-0f6e-4f0b-9f4e-8f4f5f6f7f80";
    let mut requests = Vec::new();
    for (id, request_id) in [("c3", REQUEST), ("c4", other)] {
        let request = pb::CreateCustomerRequest {
            customer: Some(person(id)),
            request_id: request_id.to_owned(),
        };
        client.create_customer(request.clone()).await.unwrap();
        requests.push(request);
    }
    let answer = format!(
        "UPDATE idempotency SET response = (SELECT response FROM idempotency WHERE request_id = '{other}')
        WHERE request_id = '{REQUEST}'"
    );
    change(&server, &answer).await.unwrap();
    let replayed = client.create_customer(requests.remove(0)).await;
    assert_refused(replayed, Code::DataLoss, "SEALED_DATA_BROKEN");
    client.create_customer(requests.remove(0)).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_sealed_by_half(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    for half in [
        "UPDATE personal_data SET given_name = 'Ann'",
        "UPDATE personal_data SET contacts = '[]'",
        "UPDATE personal_data SET birth_date = '1980-02-29'",
        "UPDATE personal_data SET gender = 'female'",
        "UPDATE personal_data SET address_sealed = NULL",
        "UPDATE personal_data SET sealed = 0",
        "UPDATE personal_data SET sealed = 2",
        "UPDATE interaction SET subject = 'Ann'",
        "UPDATE data_key SET key_id = ''",
        "UPDATE data_key SET wrapped_key = NULL",
    ] {
        assert!(change(&server, half).await.is_err(), "{half}");
    }
    change(&server, "UPDATE customer SET industry = 'toys'")
        .await
        .unwrap();
}
