//! A service as a value, and how several become one server.
//!
//! The same constructors make a service that runs alone and the all-in-one: each [`Service`] adds its
//! gRPC services and consumers to an [`Assembly`], which adds what every server has: the change feed,
//! the administration of consumers, and the work in the background.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use api::feed::v1::change_feed_service_server::ChangeFeedServiceServer;
use api::feed::v1::consumer_service_server::ConsumerServiceServer;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use crate::client::{self, ClientConfig, Peer};
use crate::config::PeersConfig;
use crate::consumer::{self, AdminService, Consumer, Projection};
use crate::db::Migrations;
use crate::error::Error;
use crate::feed::{Feed, FeedService, sequencer};
use crate::housekeeping;
use crate::platform::Platform;
use crate::server::{Drain, Lookup, Lookups};

/// One of the four services.
pub trait Service: 'static {
    /// Name of its feed and database, for example `loyalty`.
    const NAME: &'static str;
    /// Its own settings.
    type Config: clap::Args + Clone + fmt::Debug + Default + Send + Sync;

    /// Its schema, from version 1001 on.
    fn migrations() -> Migrations;

    /// Its settings with the secrets that it cannot do without: those that are not given are made in this folder, once.
    /// Where a process runs on its own they must be given.
    fn with_secrets_in(config: &Self::Config, _folder: &Path) -> Result<Self::Config, Error> {
        Ok(config.clone())
    }

    /// Adds its gRPC services and consumers.
    fn build(
        config: &Self::Config,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), Error>;
}

type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// Collects what a server is made of.
pub struct Assembly {
    /// How its consumers behave.
    pub consumer_options: consumer::Options,
    routes: RoutesBuilder,
    lookups: Lookups,
    health_names: Vec<String>,
    feeds: BTreeMap<&'static str, Feed>,
    consumers: BTreeMap<String, Consumer>,
    tasks: Vec<Task>,
    peers: PeersConfig,
    drain: Drain,
}

impl Assembly {
    /// Starts empty. `drain` is shared with the server.
    pub fn new(peers: PeersConfig, drain: Drain) -> Self {
        Self {
            consumer_options: consumer::Options::default(),
            routes: Routes::builder(),
            lookups: Lookups::default(),
            health_names: Vec::new(),
            feeds: BTreeMap::new(),
            consumers: BTreeMap::new(),
            tasks: Vec::new(),
            peers,
            drain,
        }
    }

    /// Adds a service with its feed.
    pub fn add<S: Service>(
        &mut self,
        config: &S::Config,
        platform: &Platform,
    ) -> Result<(), Error> {
        self.feeds.insert(platform.source, platform.feed());
        let feed = platform.feed();
        self.task(move |stop| sequencer::run(feed, stop));
        let kept = platform.clone();
        self.task(move |stop| housekeeping::run(kept, stop));
        S::build(config, platform, self)
    }

    /// Adds a gRPC service.
    pub fn grpc<G>(&mut self, service: G)
    where
        G: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        G::Response: axum::response::IntoResponse,
        G::Future: Send + 'static,
    {
        self.health_names.push(G::NAME.to_owned());
        self.routes.add_service(service);
    }

    /// Adds a method of a gRPC service whose answer may be at hand.
    pub fn lookup(&mut self, lookup: impl Lookup) {
        self.lookups.add(lookup);
    }

    /// Tells streams that the server drains, so that they end where their caller can resume.
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Another service, by the name of its feed. Fails when its address is not configured.
    pub fn peer(&self, source: &str) -> Result<Peer, Error> {
        let Some(address) = self.peers.address(source) else {
            return Err(Error::Config(format!(
                "the address of the {source} service is missing: set --peer-{source}"
            )));
        };
        client::connect(address, &ClientConfig::from(&self.peers.access))
    }

    /// Adds a durable consumer of another service's feed, named `<service>.<source>`.
    pub fn consume<P: Projection>(
        &mut self,
        platform: &Platform,
        source: &'static str,
        projection: P,
    ) -> Result<(), Error> {
        let peer = self.peer(source)?;
        let consumer = Consumer::new(platform, source, peer, self.consumer_options.clone());
        self.consumers
            .insert(consumer.name.clone(), consumer.clone());
        self.task(move |stop| consumer::run(consumer, projection, stop));
        Ok(())
    }

    /// Adds work in the background; it ends soon after its token is cancelled.
    pub fn task<F>(&mut self, work: impl FnOnce(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(Box::new(move |stop| Box::pin(work(stop))));
    }

    /// Everything together, ready to serve.
    pub fn assemble(mut self) -> Assembled {
        let feeds = FeedService {
            feeds: std::mem::take(&mut self.feeds),
            drain: self.drain.clone(),
        };
        self.grpc(ChangeFeedServiceServer::new(feeds));
        let consumers = AdminService {
            consumers: std::mem::take(&mut self.consumers),
        };
        self.grpc(ConsumerServiceServer::new(consumers));
        Assembled {
            routes: self.routes.routes(),
            lookups: self.lookups,
            health_names: self.health_names,
            background: Background { tasks: self.tasks },
        }
    }
}

/// A server's parts.
pub struct Assembled {
    /// Every gRPC service.
    pub routes: Routes,
    /// What of them may be answered before the layers.
    pub lookups: Lookups,
    /// Their names, for health.
    pub health_names: Vec<String>,
    /// Work to start once the ports are open, since consumers may dial them.
    pub background: Background,
}

/// Work in the background that has not started.
pub struct Background {
    tasks: Vec<Task>,
}

impl Background {
    /// Starts it.
    pub fn start(self) -> Running {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for task in self.tasks {
            tasks.spawn(task(stop.clone()));
        }
        Running { stop, tasks }
    }
}

/// Work in the background.
pub struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Ends it in order: transactions under way finish, leases are released.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
