//! One trace spans the caller, the server, and whom the server calls.

use std::sync::Arc;

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use common::client::{ClientConfig, connect};
use common::telemetry;
use tonic::Request;

use crate::subject::{Server, ask, subject};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced(trace: &str) -> Request<api::feed::v1::AwaitPositionRequest> {
    let mut request = Request::new(ask("c"));
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    request
}

#[tokio::test]
async fn the_callers_trace_goes_on_through_downstream_calls() {
    let spans = telemetry::init_for_test();
    let inner = Server::start(subject(async |_| Ok(telemetry::traceparent()))).await;
    let peer = connect(&inner.api.to_string(), &ClientConfig::default()).unwrap();
    let peer = Arc::new(ConsumerServiceClient::new(peer));
    let outer = Server::start(subject(move |name| {
        let mut peer = ConsumerServiceClient::clone(&peer);
        async move {
            let seen_here = telemetry::traceparent();
            let seen_there = peer.await_position(ask(&name)).await?.into_inner().position;
            Ok(format!("{seen_here} {seen_there}"))
        }
    }))
    .await;

    let answer = outer
        .consumers()
        .await_position(traced(TRACE))
        .await
        .unwrap()
        .into_inner();
    let seen: Vec<_> = answer.position.split(' ').collect();
    assert!(
        seen.iter()
            .all(|parent| parent.starts_with(&format!("00-{TRACE}-"))),
        "{seen:?}"
    );
    assert_ne!(seen[0], seen[1]);
    inner.stop().await;
    outer.stop().await;
    // Server there, client here, server here: three spans of one trace.
    assert_eq!(
        spans.of_trace(TRACE),
        ["asterism.feed.v1.ConsumerService/AwaitPosition"; 3]
    );
}

#[tokio::test]
async fn a_stored_context_becomes_the_parent_of_later_work() {
    telemetry::init_for_test();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let span = tracing::info_span!("apply");
    telemetry::set_parent(&span, &format!("00-{trace}-b7ad6b7169203331-01"));
    let inside = span.in_scope(telemetry::traceparent);
    assert!(inside.starts_with(&format!("00-{trace}-")), "{inside}");
    // Malformed or absent contexts make a root.
    for none in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-0000000000000000-01",
    ] {
        let span = tracing::info_span!("apply");
        telemetry::set_parent(&span, none);
        assert!(!span.in_scope(telemetry::traceparent).contains(trace));
    }
}
