//! Whatever is wrong with a request, the answer says so with code and reason.

use std::net::SocketAddr;

use common::config::ServerConfig;
use common::server::MESSAGE_BYTES_MAX;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::subject::{Server, ask, details, echo, reason, subject};

/// Calls any path with any message.
async fn call<M: prost::Message + Default + 'static>(
    server: &Server,
    path: &'static str,
    message: M,
) -> Result<tonic::Response<M>, Status> {
    let mut client = Grpc::new(server.channel());
    client.ready().await.unwrap();
    client
        .unary(
            Request::new(message),
            PathAndQuery::from_static(path),
            ProstCodec::<M, M>::default(),
        )
        .await
}

#[tokio::test]
async fn messages_over_the_limit_are_refused() {
    let server = Server::start(echo()).await;
    let mut client = server.consumers();
    let refused = client
        .await_position(ask(&"x".repeat(5 * 1024 * 1024)))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned())
    );
    let metadata = &details(&refused).error_info().unwrap().metadata.clone();
    assert_eq!(metadata["bytes_max"], MESSAGE_BYTES_MAX.to_string());
    assert_eq!(
        client
            .await_position(ask("fine"))
            .await
            .unwrap()
            .get_ref()
            .position,
        "fine"
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let server = Server::start(echo()).await;
    let path = "/asterism.feed.v1.ConsumerService/AwaitPosition";
    // Where a string is expected, bytes that are not UTF-8.
    let garbage: Vec<u8> = vec![0xff, 0xfe];
    let refused = call(&server, path, garbage).await.unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned())
    );
}

#[tokio::test]
async fn unknown_methods_and_services_are_unimplemented() {
    let server = Server::start(echo()).await;
    for path in [
        "/asterism.feed.v1.ConsumerService/Invented",
        "/asterism.invented.v1.InventedService/Get",
        "/",
    ] {
        let refused = call(&server, path, ()).await.unwrap_err();
        assert_eq!(
            reason(&refused),
            (Code::Unimplemented, "METHOD_UNKNOWN".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn refusals_of_handlers_pass_unchanged() {
    let subject = subject(async |name| {
        let refusal =
            common::Refusal::new(Code::NotFound, "CONSUMER_NOT_FOUND", "consumer not found");
        Err(refusal.with("consumer", name).into_status())
    });
    let server = Server::start(subject).await;
    let refused = server
        .consumers()
        .await_position(ask("loyalty.x"))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::NotFound, "CONSUMER_NOT_FOUND".to_owned())
    );
    assert_eq!(
        details(&refused).error_info().unwrap().metadata["consumer"],
        "loyalty.x"
    );
}

#[tokio::test]
async fn bare_statuses_of_handlers_tell_nothing_inside() {
    let server = Server::start(subject(async |_| Err(Status::internal("password is x")))).await;
    let refused = server
        .consumers()
        .await_position(ask("c"))
        .await
        .unwrap_err();
    assert_eq!(refused.message(), "internal error");
    assert_eq!(reason(&refused), (Code::Internal, "INTERNAL".to_owned()));
}

#[tokio::test]
async fn without_authentication_only_loopback_is_listened_on() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let config = || ServerConfig {
        listen: everywhere,
        ..ServerConfig::on_free_ports()
    };
    let refused = common::server::bind(config(), false).await.unwrap_err();
    assert!(matches!(refused, common::Error::Config(_)), "{refused:?}");
    assert!(common::server::bind(config(), true).await.is_ok());
}

#[test]
fn every_method_of_the_suite_has_a_scope() {
    let open: Vec<_> = api::methods()
        .iter()
        .filter(|method| method.scope.is_none())
        .collect();
    assert!(open.is_empty(), "{open:?}");
    let path = "/asterism.feed.v1.ConsumerService/AwaitPosition";
    assert_eq!(api::method(path).unwrap().scope, Some("feed.admin"));
}
