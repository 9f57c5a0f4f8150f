//! The change feed as its readers see it.

use api::customer::v1::CustomerDeleted;
use api::feed::v1 as pb;
use chrono::TimeDelta;
use pb::change_feed_service_client::ChangeFeedServiceClient;
use pb::watch_response::Item;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{TestServer, assert_refused};
use tonic::Code;
use tonic::transport::Channel;

use crate::subject::{Writer, bump, count, writer};

fn client(server: &TestServer<Writer>) -> ChangeFeedServiceClient<Channel> {
    ChangeFeedServiceClient::new(server.channel())
}

fn after(position: &str) -> pb::ReadChangesRequest {
    pb::ReadChangesRequest {
        after_position: position.to_owned(),
        ..Default::default()
    }
}

async fn head(server: &TestServer<Writer>) -> String {
    let request = pb::GetHeadRequest::default();
    client(server)
        .get_head(request)
        .await
        .unwrap()
        .into_inner()
        .position
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_starts_anywhere_sees_every_later_change_once(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    for _ in 0..5 {
        count(&writer.platform, "a").await;
    }
    head(&writer).await;
    let mut position = String::new();
    let mut revisions = Vec::new();
    loop {
        let request = pb::ReadChangesRequest {
            page_size: 2,
            ..after(&position)
        };
        let page = client(&writer)
            .read_changes(request)
            .await
            .unwrap()
            .into_inner();
        if page.events.is_empty() {
            break;
        }
        revisions.extend(page.events.iter().map(|event| event.revision));
        position = page.next_position;
    }
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_rolled_back_is_never_seen(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    let mut tx = writer.platform.tx().await.unwrap();
    bump(&mut tx, "a").await;
    drop(tx);
    assert_eq!(count(&writer.platform, "a").await, 1);
    head(&writer).await;
    let page = client(&writer)
        .read_changes(after(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.events.len(), 1);
}

/// On PostgreSQL a transaction that began earlier may commit later. Its change must not be skipped by a
/// reader who has already seen the later one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_transaction_leaves_no_gap_behind_which_its_change_is_lost() {
    let writer = writer(Postgres).await;
    let mut slow = writer.platform.tx().await.unwrap();
    bump(&mut slow, "slow").await;
    count(&writer.platform, "fast").await;
    head(&writer).await;
    let first = client(&writer)
        .read_changes(after(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.events[0].customer_id, "fast");
    slow.commit().await.unwrap();
    head(&writer).await;
    let second = client(&writer)
        .read_changes(after(&first.next_position))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(second.events.len(), 1);
    assert_eq!(second.events[0].customer_id, "slow");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_gets_what_is_there_then_what_comes(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    count(&writer.platform, "a").await;
    let request = pb::WatchRequest::default();
    let mut stream = client(&writer).watch(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Some(Item::Events(batch)) = stream.message().await.unwrap().unwrap().item {
            seen.extend(batch.events.into_iter().map(|event| event.revision));
            if seen.len() == 1 {
                count(&writer.platform, "a").await;
            }
        }
    }
    assert_eq!(seen, [1, 2]);
}

/// A client takes 4 MiB in one message by default; one that gets more never moves on.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn large_changes_come_in_messages_that_every_client_takes(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    const CHANGES: usize = 12;
    let writer = writer(backend).await;
    let customer = common::ids::CustomerId::parse("a").unwrap();
    let large = CustomerDeleted {
        customer_id: "x".repeat(1_000_000),
    };
    for revision in (1..).take(CHANGES) {
        let mut tx = writer.platform.tx().await.unwrap();
        tx.emit(&customer, revision, &large);
        tx.commit().await.unwrap();
    }
    head(&writer).await;
    let request = pb::WatchRequest::default();
    let mut stream = client(&writer).watch(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < CHANGES {
        if let Some(Item::Events(batch)) = stream.message().await.unwrap().unwrap().item {
            seen.extend(batch.events.into_iter().map(|event| event.revision));
            assert_eq!(
                batch.remaining.unsigned_abs(),
                (CHANGES - seen.len()) as u64
            );
        }
    }
    assert!(seen.into_iter().eq((1..).take(CHANGES)));
    let page = client(&writer).read_changes(after("")).await.unwrap();
    assert_eq!(page.into_inner().events.len(), 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_move_on_when_the_filter_matches_nothing(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    count(&writer.platform, "a").await;
    let head = head(&writer).await;
    let request = pb::WatchRequest {
        event_types: vec!["asterism.customer.v1.CustomerCreated".to_owned()],
        heartbeat_interval_seconds: 1,
        ..Default::default()
    };
    let mut stream = client(&writer).watch(request).await.unwrap().into_inner();
    let item = stream.message().await.unwrap().unwrap().item;
    let expected = pb::Checkpoint {
        position: head,
        remaining: 0,
    };
    assert_eq!(item, Some(Item::Checkpoint(expected)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_a_snapshot_is_asked_for(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    count(&writer.platform, "a").await;
    let old = head(&writer).await;
    count(&writer.platform, "a").await;
    let floor = head(&writer).await;
    writer.clock.advance(TimeDelta::days(1));
    writer
        .platform
        .compact_feed(writer.platform.now())
        .await
        .unwrap();
    count(&writer.platform, "a").await;
    head(&writer).await;

    let refused = client(&writer).read_changes(after(&old)).await;
    let details = assert_refused(refused, Code::OutOfRange, "POSITION_COMPACTED");
    assert_eq!(
        details.error_info().unwrap().metadata["earliest_position"],
        floor
    );
    let request = pb::WatchRequest {
        after_position: old,
        ..Default::default()
    };
    let mut stream = client(&writer).watch(request).await.unwrap().into_inner();
    let item = stream.message().await.unwrap().unwrap().item;
    let expected = pb::SnapshotRequired {
        earliest_position: floor.clone(),
    };
    assert_eq!(item, Some(Item::SnapshotRequired(expected)));
    let page = client(&writer)
        .read_changes(after(&floor))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        page.events
            .iter()
            .map(|event| event.revision)
            .collect::<Vec<_>>(),
        [3]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn positions_of_before_a_restore_are_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    count(&writer.platform, "a").await;
    let old = head(&writer).await;
    writer.platform.renew_feed_epoch().await.unwrap();
    let refused = client(&writer).read_changes(after(&old)).await;
    assert_refused(refused, Code::FailedPrecondition, "FEED_EPOCH_CHANGED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    let mut client = client(&writer);
    let refused = client.read_changes(after("nonsense")).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_POSITION");
    let other = pb::ReadChangesRequest {
        source: "other".to_owned(),
        ..Default::default()
    };
    assert_refused(
        client.read_changes(other).await,
        Code::NotFound,
        "FEED_NOT_FOUND",
    );
    let huge = pb::ReadChangesRequest {
        page_size: 1001,
        ..Default::default()
    };
    assert_refused(
        client.read_changes(huge).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    let slow = pb::WatchRequest {
        heartbeat_interval_seconds: 61,
        ..Default::default()
    };
    assert_refused(
        client.watch(slow).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_ends_the_stream_resumably(#[values(Sqlite, Postgres)] backend: Backend) {
    let mut writer = writer(backend).await;
    count(&writer.platform, "a").await;
    let head = head(&writer).await;
    let request = pb::WatchRequest {
        after_position: head.clone(),
        ..Default::default()
    };
    let mut stream = client(&writer).watch(request).await.unwrap().into_inner();
    writer.stop().await;
    let item = stream.message().await.unwrap().unwrap().item;
    let expected = pb::Checkpoint {
        position: head,
        remaining: 0,
    };
    assert_eq!(
        item,
        Some(Item::Checkpoint(expected)),
        "a last checkpoint to resume from"
    );
    let end = stream.message().await.map(tonic::Response::new);
    assert_refused(end, Code::Unavailable, "SERVER_DRAINING");
}

/// Compaction goes in steps, each a short transaction, until all that is old is forgotten.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn compaction_of_a_long_past_forgets_all_of_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    let emit = async |revisions: std::ops::Range<i64>| {
        let customer = common::ids::CustomerId::parse("a").unwrap();
        let mut tx = writer.platform.tx().await.unwrap();
        for revision in revisions {
            tx.emit(&customer, revision, &CustomerDeleted::default());
        }
        tx.commit().await.unwrap();
        writer.platform.feed().head().await.unwrap().number
    };
    let compact = async || writer.platform.compact_feed(writer.platform.now()).await;
    assert_eq!(emit(0..4500).await, 4500);
    writer.clock.advance(TimeDelta::days(1));
    assert_eq!(emit(4500..4503).await, 4503);
    assert_eq!(compact().await.unwrap(), 4500);
    let page = client(&writer).read_changes(after("")).await.unwrap();
    assert_eq!(page.into_inner().events.len(), 3);
    writer.clock.advance(TimeDelta::days(1));
    assert_eq!(compact().await.unwrap(), 4503);
    assert_eq!(compact().await.unwrap(), 4503);
}

/// Compaction beside writers must never take what is new for old.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn compaction_beside_writers_forgets_nothing_new(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let platform = writer.platform.clone();
    let before = platform.now() - TimeDelta::days(30);
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            count(&platform, "a").await;
        }
    });
    while !writing.is_finished() {
        writer.platform.compact_feed(before).await.unwrap();
    }
    writing.await.unwrap();
    head(&writer).await;
    let page = client(&writer)
        .read_changes(after(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.events.len(), 100);
}
