//! Rows that an earlier version wrote in the clear.

use std::time::Duration;

use api::customer::v1 as pb;
use customer_profile::Sealing;
use futures::future::join_all;
use prost::Message as _;
use rstest::rstest;
use testkit::{Backend, until};

use super::behind::{
    FIRST, KeyFile, SECOND, change, config, contains, dump, key_ids, plain, start_as, start_on,
};
use super::{PERSONAL, REQUEST, person, subject};
use crate::support::{Client, Server, call, create, get, interact};

/// Has everything of [`person`] as the earlier version stored it.
async fn write_plainly(server: &Server) {
    let person = person("c1");
    let name = person.name.unwrap();
    let (display_name, given_name, family_name) =
        (name.display_name, name.given_name, name.family_name);
    let personal = format!(
        "UPDATE personal_data
        SET sealed = 0, display_name_sealed = NULL, given_name_sealed = NULL, family_name_sealed = NULL,
            contacts_sealed = NULL, address_sealed = NULL, birth_date_sealed = NULL, gender_sealed = NULL,
            display_name = '{display_name}', given_name = '{given_name}', family_name = '{family_name}',
            contacts = '[{{\"kind\":\"email\",\"value\":\"ann@example.org\",\"label\":\"work\"}},
                {{\"kind\":\"phone\",\"value\":\"+49 30 1234567\",\"label\":\"work\"}}]',
            address = '{{\"lines\":[\"Zanzibar Lane 77\"],\"city\":\"Timbuktu\",\"region\":\"Berlin\",
                \"postal_code\":\"ZX-98765-Q\",\"country_code\":\"DE\"}}',
            birth_date = '1980-02-29', gender = 'female'"
    );
    // One statement for each: on PostgreSQL a pass may come in between, and finds each row whole.
    change(server, &personal).await.unwrap();
    let subjects =
        "UPDATE interaction SET subject_sealed = NULL, subject = 'late parcel of Mr Jones'";
    change(server, subjects).await.unwrap();
}

async fn assert_as_before(client: &mut Client, id: &str) {
    let (found, wanted) = (get(client, id).await.unwrap(), person(id));
    assert_eq!(found.name, wanted.name);
    assert_eq!(found.contacts, wanted.contacts);
    assert_eq!(found.address, wanted.address);
    assert_eq!(found.birth_date, wanted.birth_date);
    assert_eq!(found.gender, wanted.gender);
}

async fn rename(mut client: Client, id: String, name: &str) -> pb::UpdateCustomerResponse {
    let request = pb::UpdateCustomerRequest {
        customer: Some(pb::Customer {
            customer_id: id,
            name: Some(pb::PersonName {
                given_name: name.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["name.given_name".to_owned()],
        }),
        ..Default::default()
    };
    let updated = client.update_customer(request).await;
    updated.unwrap().into_inner()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_the_clear_are_read_and_sealed_when_they_change(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (server, mut client) = start_on(backend, &keys, Duration::ZERO).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
        interact(&mut client, vec![call(id, id)]).await.unwrap();
    }
    write_plainly(&server).await;
    change(&server, "DELETE FROM data_key").await.unwrap();
    assert_eq!(plain(&server).await, 4);
    for id in ["c1", "c2"] {
        assert_as_before(&mut client, id).await;
        assert_eq!(
            subject(&mut client, id).await.unwrap(),
            "late parcel of Mr Jones"
        );
        // The same call sent again is known by what was recorded in the clear.
        let again = interact(&mut client, vec![call(id, id)]).await.unwrap();
        assert_eq!(again[0].status(), pb::RecordStatus::AlreadyRecorded);
    }
    rename(client.clone(), "c1".to_owned(), "Ypsilanti").await;
    assert_eq!(plain(&server).await, 3);
    let changed = get(&mut client, "c1").await.unwrap();
    assert_eq!(changed.name.unwrap().given_name, "Ypsilanti");
    assert_eq!(changed.address, person("c1").address);
    interact(&mut client, vec![call("c2", "new")])
        .await
        .unwrap();
    assert_as_before(&mut client, "c2").await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_the_clear_are_sealed_in_the_background(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (server, mut client) = start_on(backend, &keys, Duration::from_millis(5)).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
        interact(&mut client, vec![call(id, id)]).await.unwrap();
    }
    // More than is done at once.
    let row = |row| pb::CustomerRow {
        row,
        customer: Some(person(&format!("n{row}"))),
    };
    let import = pb::ImportCustomersRequest {
        rows: (1..=450).map(row).collect(),
    };
    let answers = client.import_customers(tokio_stream::iter([import])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    assert_eq!(answer.unwrap().outcomes.len(), 450);
    write_plainly(&server).await;
    for id in ["c1", "n450"] {
        assert_as_before(&mut client, id).await;
    }
    until("all is sealed", async || plain(&server).await == 0).await;
    keys.replace(&[SECOND, FIRST]);
    until("all is under the new key", async || {
        key_ids(&server).await == ["second"]
    })
    .await;
    let stored = dump(&server).await;
    for secret in PERSONAL {
        assert!(!contains(&stored, secret.as_bytes()), "{secret}");
    }
    for id in ["n1", "n450"] {
        assert_as_before(&mut client, id).await;
    }
    for id in ["c1", "c2"] {
        assert_as_before(&mut client, id).await;
        assert_eq!(
            subject(&mut client, id).await.unwrap(),
            "late parcel of Mr Jones"
        );
    }
}

/// Whatever the background does at the moment, a change that was answered stays.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_to_the_background(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    // Both replicas know the second key before it is current: rotated as operators are told to.
    let keys = KeyFile::with(&[FIRST, SECOND]);
    let (server, mut client) = start_on(backend, &keys, Duration::from_millis(1)).await;
    let replica = server.replica().await;
    let ids: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    for id in &ids {
        create(&mut client, person(id)).await.unwrap();
    }
    write_plainly(&server).await;
    keys.replace(&[SECOND, FIRST]);
    for name in ["Ypsilanti", "Zebedee"] {
        join_all(
            ids.iter()
                .map(|id| rename(client.clone(), id.clone(), name)),
        )
        .await;
    }
    until("all is sealed, under the new key", async || {
        plain(&server).await == 0 && key_ids(&server).await == ["second"]
    })
    .await;
    for id in &ids {
        let found = get(&mut client, id).await.unwrap();
        assert_eq!(found.name.unwrap().given_name, "Zebedee");
        assert_eq!(found.address, person(id).address);
        assert_eq!(found.contacts, person(id).contacts);
    }
    drop(replica);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_kept_in_the_clear_is_given_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (server, mut client) = start_on(backend, &keys, Duration::ZERO).await;
    let request = pb::CreateCustomerRequest {
        customer: Some(person("c1")),
        request_id: REQUEST.to_owned(),
    };
    let created = client.create_customer(request.clone()).await.unwrap();
    let created = created.into_inner();
    let bytes = created.encode_to_vec();
    let mut tx = server.platform.tx().await.unwrap();
    common::on!(&mut tx, |conn| sqlx::query(
        "UPDATE idempotency SET response = $1"
    )
    .bind(&bytes)
    .execute(conn)
    .await
    .map(drop))
    .unwrap();
    tx.commit().await.unwrap();
    let again = client.create_customer(request).await.unwrap();
    assert!(again.metadata().get("asterism-replayed").is_some());
    assert_eq!(again.into_inner(), created);
}

/// As during an upgrade from a version that does not know what is sealed.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_seals_later_writes_in_the_clear_and_reads_what_is_sealed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let every = Duration::from_millis(5);
    let (later, mut client) = start_as(backend, config(&keys, every, Sealing::Later)).await;
    let request = pb::CreateCustomerRequest {
        customer: Some(person("c1")),
        request_id: REQUEST.to_owned(),
    };
    client.create_customer(request).await.unwrap();
    interact(&mut client, vec![call("c1", "c1")]).await.unwrap();
    create(
        &mut client,
        pb::Customer {
            customer_id: "c2".to_owned(),
            ..Default::default()
        },
    )
    .await
    .unwrap();
    let stored = dump(&later).await;
    for open in PERSONAL.into_iter().filter(|open| *open != "Ypsilanti") {
        assert!(contains(&stored, open.as_bytes()), "{open}");
    }
    assert_eq!((plain(&later).await, key_ids(&later).await.len()), (3, 0));
    assert_as_before(&mut client, "c1").await;

    // Another replica seals nothing in the background yet, but what it writes.
    let now = later
        .replica_with(config(&keys, Duration::ZERO, Sealing::Now))
        .await;
    let mut newer = Client::new(now.channel());
    create(&mut newer, person("c3")).await.unwrap();
    interact(&mut newer, vec![call("c3", "c3")]).await.unwrap();
    assert_eq!(plain(&later).await, 3);
    for client in [&mut client, &mut newer] {
        for id in ["c1", "c3"] {
            assert_as_before(client, id).await;
            assert_eq!(
                subject(client, id).await.unwrap(),
                "late parcel of Mr Jones"
            );
        }
    }
    rename(client.clone(), "c3".to_owned(), "Ypsilanti").await;
    assert_eq!(plain(&later).await, 4);

    let last = later.replica_with(config(&keys, every, Sealing::Now)).await;
    until("all is sealed", async || plain(&last).await == 0).await;
    for client in [&mut client, &mut newer] {
        assert_as_before(client, "c1").await;
        let found = get(client, "c3").await.unwrap();
        assert_eq!(found.name.unwrap().given_name, "Ypsilanti");
        let empty = get(client, "c2").await.unwrap();
        assert_eq!((empty.name, empty.birth_date), (None, String::new()));
    }
}
