//! Durable consumers: every event has exactly one effect, in order, whatever is killed.

use std::collections::{BTreeMap, BTreeSet};

use api::feed::v1 as pb;
use pb::consumer_service_client::ConsumerServiceClient;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{TestServer, assert_refused, until};
use tonic::Code;

use crate::subject::{
    Applied, CONSTRAINT, Follower, OVERFLOW, PANIC, POISON, Recorder, applied, count, heal,
    recorder, writer,
};

const WRITERS: usize = 8;
const EACH: usize = 60;
const CUSTOMERS: usize = 5;

/// Each event once, and each customer's revisions 1, 2, 3 … in the order of applying.
fn assert_exactly_once_in_order(applied: &[Applied], expected: usize) {
    let ids: BTreeSet<_> = applied.iter().map(|a| &a.event_id).collect();
    assert_eq!(ids.len(), applied.len(), "an event had two effects");
    assert_eq!(applied.len(), expected, "events were lost or invented");
    let mut by_customer: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for one in applied {
        by_customer
            .entry(&one.customer_id)
            .or_default()
            .push(one.revision);
    }
    for (customer, revisions) in by_customer {
        let expected: Vec<i64> = (1..).take(revisions.len()).collect();
        assert_eq!(revisions, expected, "order of {customer}");
    }
}

async fn write_concurrently(platform: &common::platform::Platform) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let platform = platform.clone();
        writers.spawn(async move {
            for turn in 0..EACH {
                count(&platform, &format!("c{}", (writer + turn) % CUSTOMERS)).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_and_a_killed_consumer_lose_and_double_nothing(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut recorder = recorder(backend, &writer).await;
    let platform = writer.platform.clone();
    let writing = tokio::spawn(async move { write_concurrently(&platform).await });
    while !writing.is_finished() {
        recorder.kill().await;
        recorder = recorder.replica().await;
    }
    writing.await.unwrap();
    recorder.caught_up(&writer).await;
    assert_exactly_once_in_order(&applied(&recorder.platform).await, WRITERS * EACH);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_compete_for_the_lease_never_both_apply(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut first = recorder(backend, &writer).await;
    let mut second = first.replica().await;
    write_concurrently(&writer.platform).await;
    // Whoever holds the lease dies without giving it up; the other takes over when it expires.
    first.kill().await;
    write_concurrently(&writer.platform).await;
    second.caught_up(&writer).await;
    first = first.restart().await;
    second.kill().await;
    write_concurrently(&writer.platform).await;
    first.caught_up(&writer).await;
    assert!(
        epoch(&first).await >= 2,
        "every takeover is a new epoch, or the old holder is not fenced off"
    );
    assert_exactly_once_in_order(&applied(&first.platform).await, 3 * WRITERS * EACH);
}

async fn epoch(server: &TestServer<Recorder>) -> i64 {
    let mut client = ConsumerServiceClient::new(server.channel());
    let listed = client
        .list_consumers(pb::ListConsumersRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.consumers[0].name, "loyalty.customer");
    listed.consumers[0].lease_epoch
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_event_is_parked_with_its_reason_and_the_others_go_on(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    for customer in ["a", POISON, "b"] {
        count(&writer.platform, customer).await;
    }
    recorder.caught_up(&writer).await;
    let names: Vec<_> = applied(&recorder.platform)
        .await
        .into_iter()
        .map(|a| a.customer_id)
        .collect();
    assert_eq!(
        names,
        ["a", "b"],
        "what the poisonous event had written is undone"
    );

    let mut client = ConsumerServiceClient::new(recorder.channel());
    let consumer = "loyalty.customer".to_owned();
    let list = pb::ListParkedEventsRequest {
        consumer: consumer.clone(),
        ..Default::default()
    };
    let parked = client
        .list_parked_events(list.clone())
        .await
        .unwrap()
        .into_inner()
        .parked_events;
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].failure.as_str(), parked[0].attempts),
        ("poison is poisonous", 3)
    );
    let event_id = parked[0].event.clone().unwrap().event_id;

    // A replay that fails again leaves it parked, with one attempt more; one that succeeds takes it off.
    let replay = pb::ReplayParkedEventRequest {
        consumer: consumer.clone(),
        event_id,
    };
    client.replay_parked_event(replay.clone()).await.unwrap();
    let listed = async || {
        let mut client = ConsumerServiceClient::new(recorder.channel());
        client
            .list_parked_events(list.clone())
            .await
            .unwrap()
            .into_inner()
            .parked_events
    };
    until("it is tried again", async || {
        listed().await[0].attempts == 4
    })
    .await;
    heal(&recorder.platform, POISON).await;
    client.replay_parked_event(replay.clone()).await.unwrap();
    until("it is applied", async || listed().await.is_empty()).await;
    let names: Vec<_> = applied(&recorder.platform)
        .await
        .into_iter()
        .map(|a| a.customer_id)
        .collect();
    assert_eq!(names, ["a", "b", POISON]);
    let again = client.replay_parked_event(replay).await;
    assert_refused(again, Code::NotFound, "PARKED_EVENT_NOT_FOUND");
}

async fn parked(server: &TestServer<Recorder>) -> Vec<pb::ParkedEvent> {
    let mut client = ConsumerServiceClient::new(server.channel());
    let request = pb::ListParkedEventsRequest {
        consumer: "loyalty.customer".to_owned(),
        ..Default::default()
    };
    let listed = client.list_parked_events(request).await.unwrap();
    listed.into_inner().parked_events
}

/// What fails each time must not stop the others, however the projection tells it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_always_fails_is_parked(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[values(PANIC, CONSTRAINT, OVERFLOW)] customer: &str,
) {
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    count(&writer.platform, customer).await;
    count(&writer.platform, "b").await;
    recorder.caught_up(&writer).await;
    let names: Vec<_> = applied(&recorder.platform)
        .await
        .into_iter()
        .map(|a| a.customer_id)
        .collect();
    assert_eq!(names, ["b"]);
    let parked = parked(&recorder).await;
    assert_eq!(parked.len(), 1);
    assert!(!parked[0].failure.is_empty());
}

/// Discarding and replaying at the same moment: either the event is gone, or it has its effect.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_event_has_no_effect_although_its_replay_was_asked_for(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    for round in 0..40 {
        let customer = format!("{POISON}{round}");
        count(&writer.platform, &customer).await;
        recorder.caught_up(&writer).await;
        let event_id = parked(&recorder).await.remove(0).event.unwrap().event_id;
        heal(&recorder.platform, &customer).await;
        let mut client = ConsumerServiceClient::new(recorder.channel());
        let consumer = "loyalty.customer".to_owned();
        let replay = pb::ReplayParkedEventRequest {
            consumer: consumer.clone(),
            event_id: event_id.clone(),
        };
        client.replay_parked_event(replay).await.unwrap();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let discard = pb::DiscardParkedEventRequest { consumer, event_id };
        let discarded = client.discard_parked_event(discard).await.is_ok();
        until("it is applied", async || parked(&recorder).await.is_empty()).await;
        let applied = applied(&recorder.platform).await;
        let effect = applied.iter().any(|one| one.customer_id == customer);
        assert!(
            discarded != effect,
            "discarded {discarded}, effect {effect}"
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_event_never_comes_back(#[values(Sqlite, Postgres)] backend: Backend) {
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    count(&writer.platform, POISON).await;
    recorder.caught_up(&writer).await;
    let mut client = ConsumerServiceClient::new(recorder.channel());
    let consumer = "loyalty.customer".to_owned();
    let list = pb::ListParkedEventsRequest {
        consumer: consumer.clone(),
        ..Default::default()
    };
    let parked = client
        .list_parked_events(list.clone())
        .await
        .unwrap()
        .into_inner()
        .parked_events;
    let event_id = parked[0].event.clone().unwrap().event_id;
    let discard = pb::DiscardParkedEventRequest { consumer, event_id };
    client.discard_parked_event(discard.clone()).await.unwrap();
    let left = client.list_parked_events(list).await.unwrap().into_inner();
    assert!(left.parked_events.is_empty());
    let again = client.discard_parked_event(discard).await;
    assert_refused(again, Code::NotFound, "PARKED_EVENT_NOT_FOUND");
    assert!(applied(&recorder.platform).await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_service_waits_for_the_projection(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut recorder = recorder(backend, &writer).await;
    recorder.stop().await;
    let revision = count(&writer.platform, "a").await;
    let customer = common::ids::CustomerId::parse("a").unwrap();
    let token = writer.platform.token(&customer, revision);
    let recorder = recorder.restart().await;
    recorder.platform.at_least(&token).await.unwrap();
    assert_eq!(applied(&recorder.platform).await.len(), 1);
    let future = writer.platform.token(&customer, revision + 1);
    let refused: Result<tonic::Response<()>, _> = recorder
        .platform
        .at_least(&future)
        .await
        .map(tonic::Response::new)
        .map_err(Into::into);
    assert_refused(refused, Code::Unavailable, "PROJECTION_BEHIND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_the_write_and_the_consumer(#[values(Sqlite, Postgres)] backend: Backend) {
    use tracing::Instrument as _;
    common::telemetry::init_for_test();
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    let trace = match backend {
        Sqlite => "11111111111111111111111111111111",
        Postgres => "22222222222222222222222222222222",
    };
    let span = tracing::info_span!("request");
    common::telemetry::set_parent(&span, &format!("00-{trace}-00f067aa0ba902b7-01"));
    count(&writer.platform, "a").instrument(span).await;
    recorder.caught_up(&writer).await;
    let traceparent = &applied(&recorder.platform).await[0].traceparent;
    assert!(traceparent.contains(trace), "{traceparent}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn unknown_consumers_and_foreign_positions_are_refused(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let recorder = recorder(backend, &writer).await;
    let mut client = ConsumerServiceClient::new(recorder.channel());
    let mut wait = async |consumer: &str, position: &str| {
        let (consumer, position) = (consumer.to_owned(), position.to_owned());
        client
            .await_position(pb::AwaitPositionRequest { consumer, position })
            .await
    };
    let head = writer.platform.feed().head().await.unwrap().encode();
    assert_refused(
        wait("nobody", &head).await,
        Code::NotFound,
        "CONSUMER_NOT_FOUND",
    );
    assert_refused(
        wait("loyalty.customer", "nonsense").await,
        Code::InvalidArgument,
        "INVALID_POSITION",
    );
    let own = recorder.platform.feed().head().await.unwrap().encode();
    assert_refused(
        wait("loyalty.customer", &own).await,
        Code::InvalidArgument,
        "INVALID_POSITION",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_holds_the_lease_tells_how_far_the_consumer_is() {
    let writer = writer(Sqlite).await;
    let mut follower: TestServer<Follower> = TestServer::start_with(Sqlite, &[&writer]).await;
    count(&writer.platform, "a").await;
    follower.caught_up(&writer).await;
    let told = || {
        let text = common::telemetry::metrics::text();
        let gauges = |line: &&str| {
            line.contains("consumer=\"segmentation.customer\"")
                && (line.starts_with("asterism_consumer_lag{")
                    || line.starts_with("asterism_consumer_parked{"))
        };
        text.lines().filter(gauges).count()
    };
    until("both figures are told", async || told() == 2).await;
    follower.stop().await;
    assert_eq!(told(), 0);
}
