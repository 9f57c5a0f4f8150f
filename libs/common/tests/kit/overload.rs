//! A full server refuses at once, and stays healthy in the eyes of probes.

use common::config::ServerConfig;
use futures::future::join_all;
use tokio::task::yield_now;
use tonic::Code;
use tonic_health::ServingStatus;

use crate::subject::{Held, Server, anything, ask, details, reason, subject};

fn one_at_a_time() -> ServerConfig {
    ServerConfig {
        calls_max: 1,
        ..ServerConfig::on_free_ports()
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_are_told_when_to_come_back() {
    let held = Held::default();
    let server = Server::start_with(one_at_a_time(), None, held.subject()).await;
    let mut client = server.consumers();
    let first = tokio::spawn(async move { client.await_position(ask("first")).await });
    held.begun().await;

    let refused = server
        .consumers()
        .await_position(ask("second"))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::ResourceExhausted, "SERVER_OVERLOADED".to_owned())
    );
    assert!(
        details(&refused)
            .retry_info()
            .and_then(|retry| retry.retry_delay)
            .is_some()
    );
    for mut health in [server.health(), server.ops_health()] {
        let answer = health.check(anything()).await.unwrap();
        assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
    }

    held.let_go();
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_place_is_taken_until_the_handler_is_done() {
    let held = Held::default();
    let server = Server::start_with(one_at_a_time(), None, held.subject()).await;
    let mut client = server.consumers();
    let first = tokio::spawn(async move { client.await_position(ask("gone")).await });
    held.begun().await;
    first.abort();
    first.await.unwrap_err();

    let refused = server
        .consumers()
        .await_position(ask("second"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    held.let_go();
    held.ended().await;
    // The place is free a moment after the handler's last line.
    held.let_go();
    let again = async {
        loop {
            match server.consumers().await_position(ask("third")).await {
                Err(refused) if refused.code() == Code::ResourceExhausted => {
                    yield_now().await;
                }
                answer => return answer,
            }
        }
    };
    assert_eq!(again.await.unwrap().get_ref().position, "third");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancelled_calls_leaves_the_connection_and_all_places() {
    let subject = subject(async |name| {
        yield_now().await;
        Ok(name)
    });
    let server = Server::start(subject).await;
    let client = server.consumers();
    let calls = (0..2000).map(|i| {
        let mut client = client.clone();
        async move {
            let call = tokio::spawn(async move { client.await_position(ask("c")).await });
            for _ in 0..i % 7 {
                yield_now().await;
            }
            call.abort();
            call.await
        }
    });
    for ended in join_all(calls).await {
        match ended {
            Ok(answer) => assert_eq!(answer.map_err(|refused| refused.code()).err(), None),
            Err(aborted) => assert!(aborted.is_cancelled()),
        }
    }
    let mut calls = client.clone();
    assert_eq!(
        calls
            .await_position(ask("after"))
            .await
            .unwrap()
            .get_ref()
            .position,
        "after"
    );
}
