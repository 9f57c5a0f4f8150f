//! A server that something is missing for.

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use api::feed::v1::consumer_service_server::ConsumerServiceServer;
use common::client::{ClientConfig, connect};
use common::config::ServerConfig;
use common::server::{self, Serve, Unready};
use futures::FutureExt as _;
use testkit::until;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::ops::get;
use crate::subject::{anything, ask, echo, endpoint, reason};

#[tokio::test]
async fn it_is_unready_and_says_why_and_then_serves() {
    let bound = server::bind(ServerConfig::on_free_ports(), false)
        .await
        .unwrap();
    let (api, ops) = (bound.api_addr(), bound.ops_addr());
    let (found, missing) = oneshot::channel::<()>();
    let unready = Unready {
        reason: "the key is missing: turn it".to_owned(),
        until: missing.map(drop).boxed(),
    };
    let serve = Serve {
        routes: Routes::new(ConsumerServiceServer::new(echo())),
        ..Serve::default()
    };
    let shutdown = CancellationToken::new();
    let done = tokio::spawn(bound.serve_after(unready, serve, shutdown.clone()));

    let answer = get(ops, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("the key is missing: turn it"), "{answer}");
    assert!(get(ops, "/livez").await.starts_with("HTTP/1.1 200"));
    let peer = connect(&api.to_string(), &ClientConfig::default()).unwrap();
    let mut client = ConsumerServiceClient::new(peer);
    let refused = client.await_position(ask("c")).await.unwrap_err();
    assert_eq!(reason(&refused).1, "CONNECTION_LOST");
    let mut health =
        tonic_health::pb::health_client::HealthClient::new(endpoint(ops).connect_lazy());
    let told = health.check(anything()).await.unwrap().into_inner().status;
    assert_eq!(told, tonic_health::ServingStatus::NotServing as i32);

    found.send(()).unwrap();
    until("it is ready", async || {
        get(ops, "/readyz").await.starts_with("HTTP/1.1 200")
    })
    .await;
    client.await_position(ask("c")).await.unwrap();
    shutdown.cancel();
    done.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_can_be_stopped_while_it_waits() {
    let bound = server::bind(ServerConfig::on_free_ports(), false)
        .await
        .unwrap();
    let unready = Unready {
        reason: "never".to_owned(),
        until: std::future::pending().boxed(),
    };
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let served = bound.serve_after(unready, Serve::default(), shutdown).await;
    served.unwrap();
}
