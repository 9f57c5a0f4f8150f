//! Calls to other services carry deadline and token along.

use std::time::Duration;

use api::feed::v1 as pb;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use common::client::{ClientConfig, Peer, connect};
use common::config::ServerConfig;
use tonic::Code;

use crate::subject::{Held, Server, ask, echo, reason, subject};

fn dial(server: &Server) -> ConsumerServiceClient<Peer> {
    let address = format!("http://{}", server.api);
    ConsumerServiceClient::new(connect(&address, &ClientConfig::default()).unwrap())
}

#[tokio::test]
async fn what_is_left_of_the_deadline_is_sent_on() {
    let subject = subject(async |_| {
        Ok(common::deadline::remaining()
            .map_or(0, |left| left.as_millis())
            .to_string())
    });
    let server = Server::start(subject).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
    let mut client = dial(&server);
    let call = client.await_position(ask("c"));
    let answer = common::deadline::scope(Some(deadline), call).await.unwrap();
    let left: u64 = answer.get_ref().position.parse().unwrap();
    assert!((1..=3000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_deadline_that_passes_on_our_side_is_called_by_its_name() {
    let server = Server::start(Held::default().subject()).await;
    let mut client = dial(&server);
    for left in [Duration::ZERO, Duration::from_millis(30)] {
        let deadline = tokio::time::Instant::now() + left;
        let call = client.await_position(ask("c"));
        let refused = common::deadline::scope(Some(deadline), call)
            .await
            .unwrap_err();
        assert_eq!(
            reason(&refused),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
        );
    }
}

#[tokio::test]
async fn a_peer_that_comes_back_is_called_again() {
    let server = Server::start(echo()).await;
    let address = server.api;
    let mut client = dial(&server);
    client.await_position(ask("c")).await.unwrap();
    server.stop().await;
    let lost = client.await_position(ask("c")).await.unwrap_err();
    assert_eq!(
        reason(&lost),
        (Code::Unavailable, "CONNECTION_LOST".to_owned())
    );

    let config = ServerConfig {
        listen: address,
        ..ServerConfig::on_free_ports()
    };
    let _server = Server::start_with(config, None, echo()).await;
    client.await_position(ask("c")).await.unwrap();
}

#[tokio::test]
async fn addresses_need_no_scheme_and_nonsense_is_refused() {
    let server = Server::start(echo()).await;
    let peer = connect(&server.api.to_string(), &ClientConfig::default()).unwrap();
    ConsumerServiceClient::new(peer)
        .await_position(ask("c"))
        .await
        .unwrap();
    assert!(connect("not an address", &ClientConfig::default()).is_err());
}

/// Whatever connections a server retires meanwhile, a tenth of a second of calls.
async fn call_on<F: Future>(mut call: impl FnMut() -> F, mut check: impl FnMut(F::Output)) {
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(150) {
        check(call().await);
    }
}

fn retiring() -> ServerConfig {
    ServerConfig {
        connection_age_max: Duration::from_millis(15),
        ..ServerConfig::on_free_ports()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_notice_that_connections_are_retired() {
    let server = Server::start_with(retiring(), None, echo()).await;
    let peer = connect(&server.api.to_string(), &ClientConfig::default()).unwrap();
    let client = ChangeFeedServiceClient::new(peer);
    let read = || {
        let mut client = client.clone();
        async move { client.get_head(pb::GetHeadRequest::default()).await }
    };
    call_on(read, |answer| drop(answer.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_calls_see_at_worst_that_they_may_call_again() {
    let server = Server::start_with(retiring(), None, echo()).await;
    let client = dial(&server);
    let other = || {
        let mut client = client.clone();
        async move { client.await_position(ask("c")).await }
    };
    let check = |answer: Result<_, tonic::Status>| {
        if let Err(lost) = answer {
            assert_eq!(
                reason(&lost),
                (Code::Unavailable, "CONNECTION_LOST".to_owned())
            );
        }
    };
    call_on(other, check).await;
}
