//! The limit: a tonic server that decodes the request and answers with a constant, and nothing else.

use std::convert::Infallible;
use std::future::Ready;
use std::task::{Context, Poll};

use api::loyalty::v1::{GetTierRequest, GetTierResponse};
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Starts it on a free port and returns its URL.
pub async fn start(answer: GetTierResponse) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        .add_service(Echo(answer))
        .serve_with_incoming(incoming);
    tokio::spawn(serving);
    url
}

#[derive(Clone)]
struct Echo(GetTierResponse);

impl NamedService for Echo {
    const NAME: &'static str = "asterism.loyalty.v1.LoyaltyService";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(echo, request).await) })
    }
}

impl UnaryService<GetTierRequest> for Echo {
    type Response = GetTierResponse;
    type Future = Ready<Result<Response<GetTierResponse>, Status>>;

    fn call(&mut self, _: Request<GetTierRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}
