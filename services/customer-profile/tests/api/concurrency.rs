//! Several writers at once.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::Backend;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{
    Client, call, changes, create, customer, get, interact, purchase, record, start, statuses,
};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_on_one_customer_leave_as_many_revisions_as_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let mut client = client.clone();
        writers.spawn(async move {
            for i in 0..5 {
                let id = format!("{writer}-{i}");
                record(&mut client, vec![purchase("c1", &id)])
                    .await
                    .unwrap();
                interact(&mut client, vec![call("c1", &id)]).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(get(&mut client, "c1").await.unwrap().revision, 81);
    let revisions: Vec<_> = changes(&server)
        .await
        .iter()
        .map(|event| event.revision)
        .collect();
    assert_eq!(revisions, (1..=81).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_cross_each_other_finish_without_a_deadlock(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    for i in 0..20 {
        create(&mut client, customer(&format!("c{i}")))
            .await
            .unwrap();
    }
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let mut client = client.clone();
        writers.spawn(async move {
            for round in 0..4 {
                let item = |i: usize| {
                    let of = if writer % 2 == 0 { i } else { 19 - i };
                    purchase(&format!("c{of}"), &format!("{writer}-{round}-{i}"))
                };
                let outcomes = record(&mut client, (0..20).map(item).collect())
                    .await
                    .unwrap();
                assert_eq!(statuses(&outcomes), [pb::RecordStatus::Recorded; 20]);
            }
        });
    }
    writers.join_all().await;
    for i in 0..20 {
        assert_eq!(
            get(&mut client, &format!("c{i}")).await.unwrap().revision,
            33
        );
    }
}

/// Tries again while the server says that two writers met.
async fn record_patiently(client: &mut Client, transaction: pb::Transaction) -> pb::RecordOutcome {
    loop {
        match record(client, vec![transaction.clone()]).await {
            Ok(mut outcomes) => return outcomes.remove(0),
            Err(status) => assert_eq!(status.code(), Code::Aborted, "{status:?}"),
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_key_sent_for_many_customers_at_once_is_recorded_for_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    for i in 0..8 {
        create(&mut client, customer(&format!("c{i}")))
            .await
            .unwrap();
    }
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let mut client = client.clone();
        writers.spawn(async move {
            record_patiently(&mut client, purchase(&format!("c{writer}"), "1"))
                .await
                .status()
        });
    }
    let outcomes = writers.join_all().await;
    let recorded = outcomes
        .iter()
        .filter(|status| **status == pb::RecordStatus::Recorded);
    assert_eq!(recorded.count(), 1, "{outcomes:?}");
    let conflicts = outcomes
        .iter()
        .filter(|status| **status == pb::RecordStatus::Conflict);
    assert_eq!(conflicts.count(), 7, "{outcomes:?}");
    assert_eq!(changes(&server).await.len(), 9);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_id_created_by_many_at_once_is_created_by_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, client) = start(backend).await;
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        writers.spawn(async move { create(&mut client, customer("c1")).await.is_ok() });
    }
    let created = writers
        .join_all()
        .await
        .into_iter()
        .filter(|created| *created)
        .count();
    assert_eq!((created, changes(&server).await.len()), (1, 1));
}
