//! A server in the test's process, put together as production does it.

use std::net::SocketAddr;

use common::config::{PeersConfig, ServerConfig};
use common::consumer;
use common::platform::Platform;
use common::server::{self, Drain, Serve};
use common::service::{Assembly, Running, Service};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// What a server is started with.
pub(crate) struct Start<'a, S: Service> {
    pub config: &'a S::Config,
    pub platform: &'a Platform,
    pub server: ServerConfig,
    pub peers: PeersConfig,
    pub consumers: consumer::Options,
}

/// A server that answers. Dropping it ends it without farewell.
pub(crate) struct Host {
    pub api: SocketAddr,
    pub ops: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    background: Option<Running>,
}

impl Host {
    pub(crate) async fn start<S: Service>(start: Start<'_, S>) -> Self {
        let drain = Drain::new();
        let mut assembly = Assembly::new(start.peers, drain.clone());
        assembly.consumer_options = start.consumers;
        assembly
            .add::<S>(start.config, start.platform)
            .expect("the service can be built");
        let assembled = assembly.assemble();
        let bound = server::bind(start.server, false)
            .await
            .expect("loopback can be listened on");
        let (api, ops) = (bound.api_addr(), bound.ops_addr());
        let serve = Serve {
            routes: assembled.routes,
            lookups: assembled.lookups,
            health_names: assembled.health_names,
            authenticator: None,
            drain,
        };
        let shutdown = CancellationToken::new();
        let serving = bound.serve(serve, shutdown.clone());
        let serving = tokio::spawn(async { serving.await.expect("the server ends in peace") });
        let background = Some(assembled.background.start());
        Self {
            api,
            ops,
            shutdown,
            serving,
            background,
        }
    }

    /// Ends it as SIGTERM does: calls finish, leases are released.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(background) = self.background.take() {
            background.stop().await;
        }
        self.closed().await;
    }

    /// Ends it while its background work is in the middle of something: leases stay taken.
    pub(crate) async fn kill(mut self) {
        self.shutdown.cancel();
        self.background.take();
        self.closed().await;
    }

    async fn closed(&mut self) {
        (&mut self.serving).await.expect("the server ends in peace");
    }

    pub(crate) fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.url()).expect("an address makes a URL");
        endpoint.connect_lazy()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.api)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Listeners and connections close by themselves; whatever is in the background is aborted.
        self.shutdown.cancel();
        self.background.take();
    }
}
