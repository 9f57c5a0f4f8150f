//! A consumer ends when it is told to, whatever its upstream does.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use api::feed::v1 as pb;
use futures::stream::BoxStream;
use pb::change_feed_service_server::{ChangeFeedService, ChangeFeedServiceServer};
use testkit::{Backend, PATIENCE, TestServer, Upstream};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::subject::Recorder;

/// An upstream that is there and never answers.
struct Mute {
    address: SocketAddr,
    asked: Arc<Notify>,
}

impl Mute {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Notify::new());
        let serving = tonic::transport::Server::builder()
            .add_service(ChangeFeedServiceServer::new(Silence(Arc::clone(&asked))))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Self { address, asked }
    }
}

impl Upstream for Mute {
    fn source(&self) -> &'static str {
        "customer"
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect_lazy()
    }
}

struct Silence(Arc<Notify>);

#[tonic::async_trait]
impl ChangeFeedService for Silence {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.0.notify_one();
        pending().await
    }

    async fn read_changes(
        &self,
        _: Request<pb::ReadChangesRequest>,
    ) -> Result<Response<pb::ReadChangesResponse>, Status> {
        pending().await
    }

    async fn get_head(
        &self,
        _: Request<pb::GetHeadRequest>,
    ) -> Result<Response<pb::GetHeadResponse>, Status> {
        pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_waits_for_an_answer_ends() {
    let mute = Mute::start().await;
    let mut server = TestServer::<Recorder>::start_with(Backend::Sqlite, &[&mute]).await;
    mute.asked.notified().await;
    let stopped = timeout(PATIENCE, server.stop()).await;
    stopped.expect("it waits for an answer that never comes");
}
