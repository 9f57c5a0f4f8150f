//! A server that is told to stop finishes its calls, and does not wait for ever.

use std::time::Duration;

use common::config::ServerConfig;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::ServingStatus;

use crate::subject::{Held, Server, anything, ask, echo, endpoint, reason};

fn impatient() -> ServerConfig {
    ServerConfig {
        drain_timeout: Duration::from_millis(50),
        ..ServerConfig::on_free_ports()
    }
}

/// Completes when the API port accepts no more. The ops port still answers then.
async fn closed(server: &Server) {
    while TcpStream::connect(server.api).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_in_flight_finish_and_new_ones_are_refused() {
    let held = Held::default();
    let server = Server::start(held.subject()).await;
    let mut client = server.consumers();
    let call = tokio::spawn(async move { client.await_position(ask("in flight")).await });
    held.begun().await;

    server.shutdown.cancel();
    closed(&server).await;
    assert!(endpoint(server.api).connect().await.is_err());
    let health = server.ops_health().check(anything()).await.unwrap();
    assert_eq!(health.get_ref().status, ServingStatus::NotServing as i32);
    assert!(!server.done.is_finished());

    held.let_go();
    assert_eq!(call.await.unwrap().unwrap().get_ref().position, "in flight");
    server.done.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_without_a_caller_is_waited_for() {
    let held = Held::default();
    let server = Server::start(held.subject()).await;
    let mut client = server.consumers();
    let call = tokio::spawn(async move { client.await_position(ask("gone")).await });
    held.begun().await;
    call.abort();
    call.await.unwrap_err();

    server.shutdown.cancel();
    closed(&server).await;
    assert!(!server.done.is_finished());
    held.let_go();
    held.ended().await;
    server.done.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stuck_call_is_cut_after_the_grace_period() {
    let held = Held::default();
    let server = Server::start_with(impatient(), None, held.subject()).await;
    let mut client = server.consumers();
    let call = tokio::spawn(async move { client.await_position(ask("stuck")).await });
    held.begun().await;
    server.stop().await;
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::Unavailable, "SERVER_DRAINING".to_owned())
    );
}

#[tokio::test]
async fn a_stuck_handler_without_a_caller_is_cut_too() {
    let held = Held::default();
    let server = Server::start_with(impatient(), None, held.subject()).await;
    let mut client = server.consumers();
    let call = tokio::spawn(async move { client.await_position(ask("gone")).await });
    held.begun().await;
    call.abort();
    call.await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_with_a_resumable_status() {
    let (subject, events) = echo().watched();
    let server = Server::start_with(impatient(), None, subject).await;
    let watch = api::feed::v1::WatchRequest::default();
    let mut stream = server.feed().watch(watch).await.unwrap().into_inner();
    server.stop().await;
    let ended = stream.message().await.unwrap_err();
    assert_eq!(
        reason(&ended),
        (Code::Unavailable, "SERVER_DRAINING".to_owned())
    );
    drop(events);
}

#[tokio::test]
async fn watchers_of_health_learn_of_the_drain_and_do_not_hold_it_up() {
    let server = Server::start(echo()).await;
    let mut health = server
        .health()
        .watch(anything())
        .await
        .unwrap()
        .into_inner();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&(ServingStatus::Serving as i32)) {
        statuses.push(health.message().await.unwrap().unwrap().status);
    }
    server.stop().await;
    loop {
        match health.message().await {
            Ok(Some(answer)) => assert_eq!(answer.status, ServingStatus::NotServing as i32),
            Ok(None) => panic!("the stream ended without a status"),
            Err(ended) => break assert_eq!(ended.code(), Code::Unavailable),
        }
    }
}

#[tokio::test]
async fn a_peer_that_never_says_hello_does_not_hold_it_up() {
    let server = Server::start_with(impatient(), None, echo()).await;
    let silent = TcpStream::connect(server.api).await.unwrap();
    server.consumers().await_position(ask("c")).await.unwrap();
    server.stop().await;
    drop(silent);
}
