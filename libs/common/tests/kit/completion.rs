//! Handlers run to their end, whoever stops waiting for them.

use std::time::Duration;

use common::config::ServerConfig;
use tonic::{Code, Request};

use crate::subject::{Held, Server, ask, reason, subject};

#[tokio::test]
async fn a_handler_outlives_its_caller() {
    let held = Held::default();
    let server = Server::start(held.subject()).await;
    let mut client = server.consumers();
    let call = tokio::spawn(async move { client.await_position(ask("c")).await });
    held.begun().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    held.let_go();
    held.ended().await;
}

#[tokio::test]
async fn a_handler_outlives_its_deadline() {
    let held = Held::default();
    let config = ServerConfig {
        deadline: Duration::from_millis(20),
        ..ServerConfig::on_free_ports()
    };
    let server = Server::start_with(config, None, held.subject()).await;
    let refused = server
        .consumers()
        .await_position(ask("c"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    held.let_go();
    held.ended().await;
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_server_lives_on() {
    let subject = subject(async |name| {
        assert!(name != "bad", "secret detail");
        Ok(name)
    });
    let server = Server::start(subject).await;
    let mut client = server.consumers();
    let refused = client.await_position(ask("bad")).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::Internal, "INTERNAL".to_owned()));
    assert_eq!(refused.message(), "internal error");
    assert_eq!(
        client
            .await_position(ask("good"))
            .await
            .unwrap()
            .get_ref()
            .position,
        "good"
    );
}

#[tokio::test]
async fn identity_and_deadline_reach_the_handler() {
    let subject = subject(async |_| {
        let identity = common::identity::current();
        assert!(common::deadline::current().is_some());
        assert!(identity.may("anything.at.all"));
        Ok(identity.subject.to_string())
    });
    let server = Server::start(subject).await;
    let mut request = Request::new(ask("c"));
    request.set_timeout(Duration::from_secs(5));
    let answer = server.consumers().await_position(request).await.unwrap();
    assert_eq!(answer.get_ref().position, "anonymous");
}
