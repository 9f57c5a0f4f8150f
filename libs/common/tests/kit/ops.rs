//! What operators and tools ask: metrics, probes, reflection.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_stream::once;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;

use crate::subject::{Server, anything, echo};

pub async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn calls_are_measured_by_method_and_code() {
    let server = Server::start(echo()).await;
    server
        .consumers()
        .list_consumers(api::feed::v1::ListConsumersRequest {})
        .await
        .unwrap();
    let text = get(server.ops, "/metrics").await;
    let series = "rpc_server_call_duration_seconds_count{\
        rpc_method=\"asterism.feed.v1.ConsumerService/ListConsumers\",\
        rpc_response_status_code=\"OK\"";
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains(series), "{text}");
    assert!(
        text.contains("# TYPE rpc_server_call_duration_seconds histogram"),
        "{text}"
    );
}

#[tokio::test]
async fn invented_methods_share_one_label() {
    let server = Server::start(echo()).await;
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/invented.Service/Method");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client
        .unary(tonic::Request::new(()), path, codec)
        .await
        .unwrap_err();
    let text = get(server.ops, "/metrics").await;
    assert!(
        text.contains("rpc_method=\"_OTHER\",rpc_response_status_code=\"UNIMPLEMENTED\""),
        "{text}"
    );
    assert!(!text.contains("invented"), "{text}");
}

#[tokio::test]
async fn probes_are_answered_on_both_ports() {
    let server = Server::start(echo()).await;
    // Serving begins right after the ports answer.
    while !get(server.ops, "/readyz").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
    assert!(get(server.ops, "/livez").await.starts_with("HTTP/1.1 200"));
    let service = HealthCheckRequest {
        service: "asterism.feed.v1.ConsumerService".to_owned(),
    };
    for mut health in [server.health(), server.ops_health()] {
        for question in [anything(), service.clone()] {
            let answer = health.check(question).await.unwrap();
            assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
        }
        let unknown = HealthCheckRequest {
            service: "asterism.unknown".to_owned(),
        };
        assert_eq!(
            health.check(unknown).await.unwrap_err().code(),
            tonic::Code::NotFound
        );
    }
}

#[tokio::test]
async fn reflection_v1_lists_the_services() {
    use tonic_reflection::pb::v1 as pb;
    let server = Server::start(echo()).await;
    let mut client = pb::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request = pb::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers = client
        .server_reflection_info(once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(pb::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("no list");
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "asterism.feed.v1.ConsumerService")
    );
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_services() {
    use tonic_reflection::pb::v1alpha as pb;
    let server = Server::start(echo()).await;
    let mut client = pb::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request = pb::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers = client
        .server_reflection_info(once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(pb::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("no list");
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "asterism.feed.v1.ConsumerService")
    );
}
