//! Calls are answered by their deadline, with the right code.

use std::time::Duration;

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use common::config::ServerConfig;
use futures::future::join_all;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::{Code, Request};

use crate::subject::{Held, Server, ask, reason, subject};

fn short() -> ServerConfig {
    ServerConfig {
        deadline: Duration::from_millis(40),
        ..ServerConfig::on_free_ports()
    }
}

/// A client that keeps no time itself, unlike tonic's: what it gets is the server's answer.
pub fn timeless(
    server: &Server,
) -> ConsumerServiceClient<Client<HttpConnector, tonic::body::Body>> {
    let http = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", server.api).parse().unwrap();
    ConsumerServiceClient::with_origin(http, origin)
}

#[tokio::test]
async fn unary_calls_without_a_deadline_get_the_servers() {
    let server = Server::start_with(short(), None, Held::default().subject()).await;
    let refused = server
        .consumers()
        .await_position(ask("c"))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_deadline_is_never_answered_with_cancelled() {
    let server = Server::start(Held::default().subject()).await;
    let client = timeless(&server);
    let calls = (0..50u64).map(|i| {
        let mut client = client.clone();
        async move {
            let mut request = Request::new(ask("c"));
            request.set_timeout(Duration::from_micros(500 + 851 * i));
            reason(&client.await_position(request).await.unwrap_err())
        }
    });
    for refused in join_all(calls).await {
        assert_eq!(
            refused,
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
        );
    }
}

#[tokio::test]
async fn handlers_see_how_much_time_is_left() {
    let subject = subject(async |_| {
        Ok(common::deadline::remaining()
            .map_or(0, |left| left.as_millis())
            .to_string())
    });
    let server = Server::start(subject).await;
    let mut request = Request::new(ask("c"));
    request.set_timeout(Duration::from_secs(7));
    let answer = server
        .consumers()
        .await_position(request)
        .await
        .unwrap()
        .into_inner();
    let left: u64 = answer.position.parse().unwrap();
    assert!((1..=7000).contains(&left), "{left}");
}

#[tokio::test]
async fn streams_live_beyond_the_default_deadline() {
    let (subject, events) = Held::default().subject().watched();
    let server = Server::start_with(short(), None, subject).await;
    let mut stream = server
        .feed()
        .watch(api::feed::v1::WatchRequest::default())
        .await
        .unwrap();
    let unary = server
        .consumers()
        .await_position(ask("c"))
        .await
        .unwrap_err();
    assert_eq!(unary.code(), Code::DeadlineExceeded);
    events
        .send(Ok(api::feed::v1::WatchResponse::default()))
        .unwrap();
    assert!(stream.get_mut().message().await.unwrap().is_some());
}

#[tokio::test]
async fn streams_end_at_the_deadline_they_bring() {
    let (subject, _events) = Held::default().subject().watched();
    let server = Server::start(subject).await;
    let http = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", server.api).parse().unwrap();
    let mut feed = api::feed::v1::change_feed_service_client::ChangeFeedServiceClient::<
        Client<HttpConnector, tonic::body::Body>,
    >::with_origin(http, origin);
    let mut request = Request::new(api::feed::v1::WatchRequest::default());
    request.set_timeout(Duration::from_millis(400));
    let mut stream = feed.watch(request).await.unwrap().into_inner();
    let ended = stream.message().await.unwrap_err();
    assert_eq!(
        reason(&ended),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
    );
}
