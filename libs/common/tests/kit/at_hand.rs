//! What is at hand is answered before the layers; whatever is not takes the ordinary way, as if nothing had been.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::feed::v1::{AwaitPositionRequest, AwaitPositionResponse};
use common::config::ServerConfig;
use common::telemetry;
use http::uri::PathAndQuery;
use jsonwebtoken::Algorithm;
use tonic::client::Grpc;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::auth::{authenticator, signed, with};
use crate::deadlines::timeless;
use crate::subject::{Held, Server, Subject, ask, echo, reason, subject};

/// A subject that would have to work.
fn worker() -> Subject {
    subject(async |name| Ok(format!("{name}, worked for")))
}

async fn answer(server: &Server, name: &str) -> String {
    let answer = server.consumers().await_position(ask(name)).await;
    answer.expect("it is answered").into_inner().position
}

#[tokio::test]
async fn what_is_found_is_answered_and_the_rest_is_worked_for() {
    let found = async |name| (name == "known").then(|| "found".to_owned());
    let server = Server::start(worker().at_hand(found)).await;
    assert_eq!(answer(&server, "known").await, "found");
    assert_eq!(answer(&server, "other").await, "other, worked for");
    let long = "x".repeat(100_000);
    assert_eq!(answer(&server, &long).await, format!("{long}, worked for"));
    server.stop().await;
}

#[tokio::test]
async fn what_has_to_be_waited_for_may_be_found_too() {
    let found = async |name| {
        tokio::task::yield_now().await;
        Some(name)
    };
    let server = Server::start(worker().at_hand(found)).await;
    assert_eq!(answer(&server, "known").await, "known");
}

#[tokio::test]
async fn nothing_is_looked_up_for_a_caller_who_may_not_ask() {
    let looked_up = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&looked_up);
    let subject = echo().at_hand(move |name| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Some(name))
    });
    let config = ServerConfig::on_free_ports();
    let server = Server::start_with(config, Some(authenticator()), subject).await;

    let refused = server.consumers().await_position(ask("c")).await;
    let refused = reason(&refused.unwrap_err());
    assert_eq!(refused, (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    for (scopes, expected) in [
        ("loyalty.read", Code::PermissionDenied),
        ("feed.read feed.admin", Code::Ok),
    ] {
        let mut request = Request::new(ask("c"));
        let token = signed(Algorithm::HS256, "shared", &with("scope", scopes.into()));
        let bearer = format!("Bearer {token}").parse();
        let bearer = bearer.expect("a token is a header");
        request.metadata_mut().insert("authorization", bearer);
        let answer = server.consumers().await_position(request).await;
        assert_eq!(
            answer.map_or_else(|status| status.code(), |_| Code::Ok),
            expected
        );
    }
    assert_eq!(looked_up.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_lookup_that_panics_has_found_nothing() {
    let found = async |name: String| -> Option<String> { panic!("{name}") };
    let server = Server::start(worker().at_hand(found)).await;
    assert_eq!(answer(&server, "c").await, "c, worked for");
}

#[tokio::test]
async fn a_lookup_has_no_more_time_than_the_call() {
    let found = async |_| std::future::pending().await;
    let server = Server::start(Held::default().subject().at_hand(found)).await;
    let mut request = Request::new(ask("c"));
    request.set_timeout(Duration::from_millis(40));
    let refused = timeless(&server).await_position(request).await;
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    assert_eq!(reason(&refused.unwrap_err()), expected);
}

/// A caller may send its headers and never its message.
#[tokio::test]
async fn a_message_that_does_not_come_has_no_more_time_than_the_call() {
    let config = ServerConfig {
        deadline: Duration::from_millis(40),
        ..ServerConfig::on_free_ports()
    };
    let subject = worker().at_hand(async |name| Some(name));
    let server = Server::start_with(config, None, subject).await;
    let mut caller = Grpc::new(server.channel());
    caller.ready().await.expect("the server is up");
    let never = futures::stream::pending::<AwaitPositionRequest>();
    let path = PathAndQuery::from_static("/asterism.feed.v1.ConsumerService/AwaitPosition");
    let codec = ProstCodec::<_, AwaitPositionResponse>::default();
    let refused = caller
        .client_streaming(Request::new(never), path, codec)
        .await;
    let expected = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned());
    assert_eq!(reason(&refused.unwrap_err()), expected);
}

#[tokio::test]
async fn found_or_not_a_call_is_one_span() {
    let spans = telemetry::init_for_test();
    let found = async |name| (name == "known").then(|| "found".to_owned());
    let server = Server::start(worker().at_hand(found)).await;
    let traces = [
        ("known", "0af7651916cd43dd8448eb211c80319c"),
        ("other", "0af7651916cd43dd8448eb211c80319d"),
    ];
    for (name, trace) in traces {
        let mut request = Request::new(ask(name));
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let parent = parent.parse().expect("it is a header");
        request.metadata_mut().insert("traceparent", parent);
        let answered = server.consumers().await_position(request).await;
        answered.expect("it is answered");
    }
    server.stop().await;
    for (name, trace) in traces {
        let expected = ["asterism.feed.v1.ConsumerService/AwaitPosition"];
        assert_eq!(spans.of_trace(trace), expected, "{name}");
    }
}
