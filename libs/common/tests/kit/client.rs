//! Calls to other services carry deadline and token along.

use std::time::Duration;

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
        Ok(common::deadline::remaining().map_or(0, |left| left.as_millis()).to_string())
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
        let refused = common::deadline::scope(Some(deadline), call).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    }
}

#[tokio::test]
async fn a_peer_that_comes_back_is_called_again() {
    let server = Server::start(echo()).await;
    let address = server.api;
    let mut client = dial(&server);
    client.await_position(ask("c")).await.unwrap();
    server.stop().await;
    assert_eq!(client.await_position(ask("c")).await.unwrap_err().code(), Code::Unavailable);

    let config = ServerConfig { listen: address, ..ServerConfig::on_free_ports() };
    let _server = Server::start_with(config, None, echo()).await;
    client.await_position(ask("c")).await.unwrap();
}

#[tokio::test]
async fn addresses_need_no_scheme_and_nonsense_is_refused() {
    let server = Server::start(echo()).await;
    let peer = connect(&server.api.to_string(), &ClientConfig::default()).unwrap();
    ConsumerServiceClient::new(peer).await_position(ask("c")).await.unwrap();
    assert!(connect("not an address", &ClientConfig::default()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_grow_old_without_failing_calls() {
    let age = Duration::from_millis(20);
    let config = ServerConfig { connection_age_max: age, ..ServerConfig::on_free_ports() };
    let server = Server::start_with(config, None, echo()).await;
    let mut client = dial(&server);
    let began = std::time::Instant::now();
    while began.elapsed() < age * 10 {
        client.await_position(ask("c")).await.unwrap();
    }
}
