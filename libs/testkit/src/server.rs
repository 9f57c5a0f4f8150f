//! A service under test: a real server with a fresh database and a clock that obeys.

use std::sync::Arc;
use std::time::Duration;

use api::feed::v1 as pb;
use common::cache::CacheBackend;
use common::config::{DatabaseConfig, PeersConfig, ServerConfig};
use common::consumer;
use common::ids::Ids;
use common::platform::{Platform, PlatformOptions};
use common::service::Service;
use pb::change_feed_service_client::ChangeFeedServiceClient;
use pb::consumer_service_client::ConsumerServiceClient;
use tonic::Request;
use tonic::transport::Channel;

use crate::clock::FakeClock;
use crate::database::{Backend, Database};
use crate::host::{Host, Start};
use crate::postgres::Cluster;
use crate::until::PATIENCE;

/// A server that another one may depend on.
pub trait Upstream {
    /// Name of its feed.
    fn source(&self) -> &'static str;
    /// Where it answers.
    fn url(&self) -> String;
    /// A channel to it.
    fn channel(&self) -> Channel;
}

/// What tests may want different from the usual.
pub struct Setup<S: Service> {
    /// The service's own settings.
    pub config: S::Config,
    /// Ports and limits; free ports by default.
    pub server: ServerConfig,
    /// Size of the pool; the database itself is always a fresh one.
    pub database: DatabaseConfig,
    /// How consumers behave.
    pub consumers: consumer::Options,
    /// URL of a Redis to cache in; without it the cache is in the process only.
    pub redis: Option<String>,
    /// The time.
    pub clock: FakeClock,
}

impl<S: Service> Default for Setup<S> {
    fn default() -> Self {
        Self {
            config: S::Config::default(),
            server: ServerConfig {
                drain_timeout: Duration::from_secs(5),
                ..ServerConfig::on_free_ports()
            },
            database: DatabaseConfig {
                pool_max: 8,
                ..DatabaseConfig::default()
            },
            consumers: consumer::Options::default(),
            redis: None,
            clock: FakeClock::default(),
        }
    }
}

impl<S: Service> Clone for Setup<S> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            server: self.server.clone(),
            database: self.database.clone(),
            consumers: self.consumers.clone(),
            redis: self.redis.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// A service that runs in this process, reached over loopback like any other.
pub struct TestServer<S: Service> {
    /// Its clock.
    pub clock: FakeClock,
    /// Its world, for tests that look behind the API.
    pub platform: Platform,
    host: Option<Host>,
    channel: Channel,
    setup: Setup<S>,
    peers: PeersConfig,
    secrets: Arc<tempfile::TempDir>,
    // Last, so that it is dropped when nothing uses it any more.
    database: Arc<Database>,
}

impl<S: Service> TestServer<S> {
    /// Starts the service on a fresh database. Whatever it consumes is out of reach.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, &[]).await
    }

    /// Starts the service on a fresh database, with the other services that it consumes or calls.
    pub async fn start_with(backend: Backend, upstreams: &[&dyn Upstream]) -> Self {
        Self::start_as(backend, upstreams, Setup::default()).await
    }

    /// Starts the service on a fresh database, set up as the test wants it.
    pub async fn start_as(backend: Backend, upstreams: &[&dyn Upstream], setup: Setup<S>) -> Self {
        let database = Database::fresh(backend, S::NAME, S::migrations).await;
        Self::start_in(database, upstreams, setup).await
    }

    /// Starts the service on a cluster that the test will kill.
    pub async fn start_on(cluster: &Cluster, upstreams: &[&dyn Upstream], setup: Setup<S>) -> Self {
        let database = Database::on_cluster(cluster, S::migrations).await;
        Self::start_in(database, upstreams, setup).await
    }

    /// Starts the service on a database that the test has made.
    pub async fn start_in(
        database: Database,
        upstreams: &[&dyn Upstream],
        mut setup: Setup<S>,
    ) -> Self {
        let secrets = tempfile::tempdir().expect("a temporary folder can be made");
        setup.config = S::with_secrets_in(&setup.config, secrets.path())
            .expect("secrets can be made in a folder of ours");
        let database = Arc::new(database);
        Self::on(database, peers(upstreams), setup, Arc::new(secrets)).await
    }

    async fn on(
        database: Arc<Database>,
        peers: PeersConfig,
        setup: Setup<S>,
        secrets: Arc<tempfile::TempDir>,
    ) -> Self {
        let platform = open::<S>(&database, &setup).await;
        let host = Host::start::<S>(Start {
            config: &setup.config,
            platform: &platform,
            server: setup.server.clone(),
            peers: peers.clone(),
            consumers: setup.consumers.clone(),
        })
        .await;
        let channel = host.channel();
        let clock = setup.clock.clone();
        Self {
            clock,
            platform,
            host: Some(host),
            channel,
            setup,
            peers,
            secrets,
            database,
        }
    }

    /// A channel to the service, for any generated client.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Where the ops port answers.
    #[must_use]
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.host().ops)
    }

    /// Returns once the consumer of that upstream's feed has applied all that is in it now.
    pub async fn caught_up(&self, upstream: &dyn Upstream) {
        let source = upstream.source().to_owned();
        let mut feed = ChangeFeedServiceClient::new(upstream.channel());
        let head = feed
            .get_head(pb::GetHeadRequest { source })
            .await
            .expect("a feed has a head");
        let mut wait = Request::new(pb::AwaitPositionRequest {
            consumer: format!("{}.{}", S::NAME, upstream.source()),
            position: head.into_inner().position,
        });
        wait.set_timeout(PATIENCE);
        let mut consumers = ConsumerServiceClient::new(self.channel());
        if let Err(status) = consumers.await_position(wait).await {
            let list = consumers.list_consumers(pb::ListConsumersRequest {}).await;
            panic!("the consumer does not catch up: {status:?}\n{list:#?}");
        }
    }

    /// A second server on the same database, as another replica would be.
    pub async fn replica(&self) -> Self {
        self.replica_with(self.setup.config.clone()).await
    }

    /// The same with other settings of the service's own, as one has during an upgrade.
    pub async fn replica_with(&self, config: S::Config) -> Self {
        let free = ServerConfig::on_free_ports();
        let mut setup = self.setup.clone();
        setup.config = config;
        (setup.server.listen, setup.server.ops_listen) = (free.listen, free.ops_listen);
        let secrets = self.secrets.clone();
        Self::on(self.database.clone(), self.peers.clone(), setup, secrets).await
    }

    /// Ends the server as SIGTERM does.
    pub async fn stop(&mut self) {
        if let Some(host) = self.leave() {
            host.stop().await;
            self.platform.db.close().await;
        }
    }

    /// Ends the server like a crash: consumers stop where they are and keep their leases.
    pub async fn kill(&mut self) {
        if let Some(host) = self.leave() {
            host.kill().await;
        }
    }

    /// Starts the server again on the same database and API port, after stopping it if it runs.
    #[must_use]
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::on(self.database, self.peers, self.setup, self.secrets).await
    }

    /// Takes the host away, remembering where callers expect it. The ops port may linger.
    fn leave(&mut self) -> Option<Host> {
        let host = self.host.take()?;
        self.setup.server.listen = host.api;
        Some(host)
    }

    fn host(&self) -> &Host {
        self.host.as_ref().expect("the server was not stopped")
    }
}

impl<S: Service> Upstream for TestServer<S> {
    fn source(&self) -> &'static str {
        S::NAME
    }

    fn url(&self) -> String {
        self.host().url()
    }

    fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

async fn open<S: Service>(database: &Database, setup: &Setup<S>) -> Platform {
    let cache = match &setup.redis {
        Some(url) => CacheBackend::redis(url, false)
            .await
            .expect("the URL makes sense"),
        // As a process decides it: its SQLite file is its own.
        None => match database {
            Database::Sqlite(_) => CacheBackend::in_process(),
            Database::Postgres(_) | Database::OnCluster(_) => CacheBackend::without_news(),
        },
    };
    let clock = Arc::new(setup.clock.clone());
    let options = PlatformOptions {
        database_url: database.url(),
        database: setup.database.clone(),
        migrate: false,
        clock: clock.clone(),
        ids: Ids::new(clock),
        cache,
    };
    Platform::open(S::NAME, S::migrations, options)
        .await
        .expect("the database can be opened")
}

/// Services that are not part of the test have an address where nobody answers.
fn peers(upstreams: &[&dyn Upstream]) -> PeersConfig {
    let mut peers = PeersConfig::all_at("http://127.0.0.1:1");
    for upstream in upstreams {
        let address = match upstream.source() {
            "customer" => &mut peers.peer_customer,
            "segmentation" => &mut peers.peer_segmentation,
            "loyalty" => &mut peers.peer_loyalty,
            "feedback" => &mut peers.peer_feedback,
            other => panic!("there is no service {other}"),
        };
        *address = Some(upstream.url());
    }
    peers
}
