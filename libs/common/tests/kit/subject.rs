//! The service under test: a consumer service and a change feed whose handlers are given by the test.

use std::net::SocketAddr;
use std::sync::Arc;

use api::feed::v1 as pb;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feed::v1::change_feed_service_server::{ChangeFeedService, ChangeFeedServiceServer};
use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use api::feed::v1::consumer_service_server::{ConsumerService, ConsumerServiceServer};
use common::auth::Authenticator;
use common::config::ServerConfig;
use common::server::{self, Drain, Looked, Lookup, Lookups, Serve};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::{ErrorDetails, StatusExt as _};

type Finder = dyn Fn(String) -> BoxFuture<'static, Option<String>> + Send + Sync;
type Handler = dyn Fn(String) -> BoxFuture<'static, Result<String, Status>> + Send + Sync;
type Item = Result<pb::WatchResponse, Status>;

/// Answers `AwaitPosition` with the test's handler, which gets the consumer's name and gives the
/// position; answers `Watch` with what the test sends.
#[derive(Clone)]
pub struct Subject {
    handler: Arc<Handler>,
    finder: Option<Arc<Finder>>,
    watch: Arc<std::sync::Mutex<Option<mpsc::UnboundedReceiver<Item>>>>,
}

/// A subject with this handler.
pub fn subject<F>(handler: impl Fn(String) -> F + Send + Sync + 'static) -> Subject
where
    F: Future<Output = Result<String, Status>> + Send + 'static,
{
    Subject {
        handler: Arc::new(move |name| Box::pin(handler(name))),
        finder: None,
        watch: Arc::default(),
    }
}

/// A subject that answers at once.
pub fn echo() -> Subject {
    subject(async |name| Ok(name))
}

impl Subject {
    /// Answers `AwaitPosition` at hand where the test finds something.
    pub fn at_hand<F>(mut self, finder: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        self.finder = Some(Arc::new(move |name| Box::pin(finder(name))));
        self
    }

    /// Streams what is sent to the first watcher.
    pub fn watched(self) -> (Self, mpsc::UnboundedSender<Item>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.watch.lock().unwrap() = Some(receiver);
        (self, sender)
    }
}

/// A handler that a test can hold: it tells when it begins, waits to be let go, and tells when it ends.
#[derive(Clone, Default)]
pub struct Held {
    begun: Arc<Notify>,
    go: Arc<Notify>,
    ended: Arc<Notify>,
}

impl Held {
    pub fn subject(&self) -> Subject {
        let held = self.clone();
        subject(move |name| {
            let held = held.clone();
            async move {
                held.begun.notify_one();
                held.go.notified().await;
                held.ended.notify_one();
                Ok(name)
            }
        })
    }

    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    pub fn let_go(&self) {
        self.go.notify_one();
    }

    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// A running server.
pub struct Server {
    pub api: SocketAddr,
    pub ops: SocketAddr,
    pub shutdown: CancellationToken,
    pub done: JoinHandle<Result<(), common::Error>>,
}

impl Server {
    pub async fn start(subject: Subject) -> Self {
        Self::start_with(ServerConfig::on_free_ports(), None, subject).await
    }

    pub async fn start_with(
        config: ServerConfig,
        authenticator: Option<Authenticator>,
        subject: Subject,
    ) -> Self {
        let bound = server::bind(config, authenticator.is_some()).await.unwrap();
        let (api, ops) = (bound.api_addr(), bound.ops_addr());
        let shutdown = CancellationToken::new();
        let mut lookups = Lookups::default();
        if let Some(finder) = subject.finder.clone() {
            lookups.add(AtHand(finder));
        }
        let serve = Serve {
            lookups,
            routes: Routes::new(ConsumerServiceServer::new(subject.clone()))
                .add_service(ChangeFeedServiceServer::new(subject)),
            health_names: vec![ConsumerServiceServer::<Subject>::NAME.to_owned()],
            authenticator,
            drain: Drain::new(),
        };
        let done = tokio::spawn(bound.serve(serve, shutdown.clone()));
        Self {
            api,
            ops,
            shutdown,
            done,
        }
    }

    pub fn channel(&self) -> Channel {
        endpoint(self.api).connect_lazy()
    }

    pub fn consumers(&self) -> ConsumerServiceClient<Channel> {
        ConsumerServiceClient::new(self.channel())
    }

    pub fn feed(&self) -> ChangeFeedServiceClient<Channel> {
        ChangeFeedServiceClient::new(self.channel())
    }

    /// Health as the API port tells it.
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    /// Health as the ops port tells it.
    pub fn ops_health(&self) -> HealthClient<Channel> {
        HealthClient::new(endpoint(self.ops).connect_lazy())
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.done.await.unwrap().unwrap();
    }
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).unwrap()
}

/// A call of the test's handler.
pub fn ask(name: &str) -> pb::AwaitPositionRequest {
    pb::AwaitPositionRequest {
        consumer: name.to_owned(),
        position: String::new(),
    }
}

/// The question whether the server as a whole is serving.
pub fn anything() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

/// Code and reason of a refusal, which must carry an `ErrorInfo` of ours.
pub fn reason(status: &Status) -> (tonic::Code, String) {
    let info = details(status).error_info().cloned();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "asterism");
    (status.code(), info.reason)
}

pub fn details(status: &Status) -> ErrorDetails {
    status.get_error_details()
}

struct AtHand(Arc<Finder>);

impl Lookup for AtHand {
    type Request = pb::AwaitPositionRequest;
    type Answer = pb::AwaitPositionResponse;
    const PATH: &'static str = "/asterism.feed.v1.ConsumerService/AwaitPosition";

    async fn find(&self, request: Self::Request) -> Looked<Self::Answer> {
        match (self.0)(request.consumer).await {
            Some(position) => Looked::Found(pb::AwaitPositionResponse { position }),
            None => Looked::Missed,
        }
    }
}

#[tonic::async_trait]
impl ConsumerService for Subject {
    async fn await_position(
        &self,
        request: Request<pb::AwaitPositionRequest>,
    ) -> Result<Response<pb::AwaitPositionResponse>, Status> {
        let position = (self.handler)(request.into_inner().consumer).await?;
        Ok(Response::new(pb::AwaitPositionResponse { position }))
    }

    async fn list_consumers(
        &self,
        _: Request<pb::ListConsumersRequest>,
    ) -> Result<Response<pb::ListConsumersResponse>, Status> {
        Ok(Response::new(pb::ListConsumersResponse::default()))
    }

    async fn list_parked_events(
        &self,
        _: Request<pb::ListParkedEventsRequest>,
    ) -> Result<Response<pb::ListParkedEventsResponse>, Status> {
        Ok(Response::new(pb::ListParkedEventsResponse::default()))
    }

    async fn replay_parked_event(
        &self,
        _: Request<pb::ReplayParkedEventRequest>,
    ) -> Result<Response<pb::ReplayParkedEventResponse>, Status> {
        Ok(Response::new(pb::ReplayParkedEventResponse::default()))
    }

    async fn discard_parked_event(
        &self,
        _: Request<pb::DiscardParkedEventRequest>,
    ) -> Result<Response<pb::DiscardParkedEventResponse>, Status> {
        Ok(Response::new(pb::DiscardParkedEventResponse::default()))
    }
}

#[tonic::async_trait]
impl ChangeFeedService for Subject {
    type WatchStream = BoxStream<'static, Item>;

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let receiver = self.watch.lock().unwrap().take().expect("one watcher");
        Ok(Response::new(Box::pin(
            UnboundedReceiverStream::new(receiver).fuse(),
        )))
    }

    async fn read_changes(
        &self,
        _: Request<pb::ReadChangesRequest>,
    ) -> Result<Response<pb::ReadChangesResponse>, Status> {
        Ok(Response::new(pb::ReadChangesResponse::default()))
    }

    async fn get_head(
        &self,
        _: Request<pb::GetHeadRequest>,
    ) -> Result<Response<pb::GetHeadResponse>, Status> {
        Ok(Response::new(pb::GetHeadResponse::default()))
    }
}
