//! A feed whose database was restored from a backup.

use api::feed::v1 as pb;
use common::error::ErrorInfo;
use common::feed::Position;
use pb::change_feed_service_client::ChangeFeedServiceClient;
use pb::watch_response::Item;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{TestServer, assert_refused};
use tonic::{Code, Status};

use crate::subject::{Writer, applied, count, recorder, restore_to, writer};

async fn read(server: &TestServer<Writer>, after: &str) -> Result<Vec<pb::Event>, Status> {
    let request = pb::ReadChangesRequest {
        after_position: after.to_owned(),
        ..Default::default()
    };
    let mut client = ChangeFeedServiceClient::new(server.channel());
    Ok(client.read_changes(request).await?.into_inner().events)
}

/// Where a reader is told to resume.
async fn resume(server: &TestServer<Writer>, after: &str) -> Option<String> {
    let status = read(server, after).await.unwrap_err();
    let info = ErrorInfo::of(&status);
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert_eq!(info.reason, "FEED_EPOCH_CHANGED");
    info.metadata.get("resume_position").cloned()
}

/// Writes so many changes and returns the positions of all.
async fn written(server: &TestServer<Writer>, changes: usize) -> Vec<String> {
    for _ in 0..changes {
        count(&server.platform, "a").await;
    }
    server.platform.feed().head().await.unwrap();
    let events = read(server, "").await.unwrap();
    events.into_iter().map(|event| event.position).collect()
}

fn number(position: &str) -> i64 {
    Position::decode(position).unwrap().number
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn readers_are_told_where_they_and_the_feed_still_agree(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let first = written(&writer, 5).await;
    restore_to(&writer.platform, 3).await;
    let begins = writer.platform.renew_feed_epoch().await.unwrap();
    assert_eq!(begins.number, 3);

    // Ahead of the backup, and behind it.
    let ahead = resume(&writer, &first[4]).await.unwrap();
    let behind = resume(&writer, &first[1]).await.unwrap();
    assert_eq!((number(&ahead), number(&behind)), (3, 2));
    assert_eq!(read(&writer, &ahead).await.unwrap(), []);
    let second = written(&writer, 2).await;
    let positions = async |after: &str| {
        let events = read(&writer, after).await.unwrap();
        let positions = events.into_iter().map(|event| event.position);
        positions.collect::<Vec<_>>()
    };
    assert_eq!(positions(&ahead).await, second[3..]);
    assert_eq!(positions(&behind).await, second[2..]);

    // Once more, further back than the first time, and then not as far.
    restore_to(&writer.platform, 1).await;
    writer.platform.renew_feed_epoch().await.unwrap();
    let third = written(&writer, 5).await;
    restore_to(&writer.platform, 4).await;
    writer.platform.renew_feed_epoch().await.unwrap();
    for (position, agreed) in [
        (&first[4], 1),
        (&second[4], 1),
        (&third[4], 4),
        (&third[1], 2),
    ] {
        let told = resume(&writer, position).await.unwrap();
        assert_eq!(number(&told), agreed);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_where_a_life_ended_that_the_backup_had_not_begun(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let positions = written(&writer, 2).await;
    let lost = Position {
        epoch: "lost".to_owned(),
        ..Position::decode(&positions[0]).unwrap()
    };
    assert_eq!(resume(&writer, &lost.encode()).await, None);
    // Nobody has begun a new epoch yet, but this cannot be.
    restore_to(&writer.platform, 1).await;
    assert_eq!(resume(&writer, &positions[1]).await, None);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn open_streams_end_with_the_epoch(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    written(&writer, 1).await;
    let request = pb::WatchRequest {
        heartbeat_interval_seconds: 1,
        ..Default::default()
    };
    let mut client = ChangeFeedServiceClient::new(writer.channel());
    let mut stream = client.watch(request).await.unwrap().into_inner();
    let item = stream.message().await.unwrap().unwrap().item;
    assert!(matches!(item, Some(Item::Events(_))), "{item:?}");
    writer.platform.renew_feed_epoch().await.unwrap();
    let end = loop {
        match stream.message().await {
            Ok(item) => assert!(item.is_some(), "the stream ended in peace"),
            Err(status) => break Err::<(), _>(status),
        }
    };
    assert_refused(end, Code::FailedPrecondition, "FEED_EPOCH_CHANGED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_from_where_it_and_the_feed_agree(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let mut writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    written(&writer, 5).await;
    recorder.caught_up(&writer).await;
    restore_to(&writer.platform, 3).await;
    writer.platform.renew_feed_epoch().await.unwrap();
    writer = writer.restart().await;
    written(&writer, 4).await;
    recorder.caught_up(&writer).await;

    let applied = applied(&recorder.platform).await;
    let mut expected = read(&writer, "").await.unwrap();
    // Those that are undone have had their effect; none of the others has had it twice, or not at all.
    let ids = |from: usize| applied[from..].iter().map(|one| one.event_id.clone());
    assert_eq!(applied.len(), 9);
    let new = expected
        .split_off(3)
        .into_iter()
        .map(|event| event.event_id);
    assert!(ids(5).eq(new), "the new ones are applied in order");
    let old = expected.into_iter().map(|event| event.event_id);
    assert!(ids(0).take(3).eq(old), "the old ones were");
}
