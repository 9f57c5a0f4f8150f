//! Who is deleted takes the key along.

use std::time::Duration;

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::Backend;
use tonic::Status;

use super::behind::{FIRST, KeyFile, contains, dump, files, read_all, start_on};
use super::person;
use crate::support::{Client, create, get};

pub async fn delete(client: &mut Client, id: &str) -> Result<(), Status> {
    let request = pb::DeleteCustomerRequest {
        customer_id: id.to_owned(),
        ..Default::default()
    };
    client.delete_customer(request).await.map(drop)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_after_a_deletion_has_no_key(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (mut server, mut client) = start_on(backend, &keys, Duration::ZERO).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
    }
    let mut reader = server.platform.reader().await.unwrap();
    let wrapped: Vec<Vec<u8>> = common::on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT wrapped_key FROM data_key ORDER BY customer_id LIMIT 2"
    )
    .fetch_all(conn)
    .await)
    .unwrap();
    drop(reader);
    let stored = dump(&server).await;
    assert!(contains(&stored, &wrapped[0]) && contains(&stored, &wrapped[1]));
    delete(&mut client, "c1").await.unwrap();
    let stored = dump(&server).await;
    assert!(!contains(&stored, &wrapped[0]) && contains(&stored, &wrapped[1]));
    get(&mut client, "c2").await.unwrap();
    // In the file as it is once the log is in it, the key of whoever stays is found, so the other's would be.
    let folder = files(&server).await;
    server.stop().await;
    if let Some(folder) = folder {
        let bytes = read_all(&folder);
        assert!(!contains(&bytes, &wrapped[0]) && contains(&bytes, &wrapped[1]));
    }
}
