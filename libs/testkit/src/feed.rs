//! The change feed of a service without the service: tests say what happened.

use std::sync::Arc;

use common::cache::CacheBackend;
use common::config::{DatabaseConfig, PeersConfig, ServerConfig};
use common::consumer;
use common::db::Migrations;
use common::ids::{CustomerId, Ids};
use common::platform::{Platform, PlatformOptions};
use common::service::{Assembly, Service};
use prost::{Message, Name};
use sqlx::migrate::Migrator;
use tonic::transport::Channel;

use crate::clock::FakeClock;
use crate::database::{Backend, Database};
use crate::host::{Host, Start};
use crate::server::Upstream;

/// A real server with the real change feed over a database of its own. Events come from the test.
pub struct FeedSource {
    /// The clock that stamps the events.
    pub clock: FakeClock,
    platform: Platform,
    host: Host,
    _database: Database,
}

/// A service that does nothing, so that its server has the feed and nothing else.
struct Nothing;

impl Service for Nothing {
    const NAME: &'static str = "nothing";
    type Config = ();

    fn migrations() -> Migrations {
        Migrations {
            postgres: Migrator::with_migrations(Vec::new()),
            sqlite: Migrator::with_migrations(Vec::new()),
        }
    }

    fn build((): &(), _: &Platform, _: &mut Assembly) -> Result<(), common::Error> {
        Ok(())
    }
}

impl FeedSource {
    /// Starts the feed of a service: `customer`, `loyalty`, `segmentation` or `feedback`.
    pub async fn start(source: &'static str, backend: Backend) -> Self {
        let database = Database::fresh(backend, Nothing::NAME, Nothing::migrations).await;
        let clock = FakeClock::default();
        let options = PlatformOptions {
            database_url: database.url(),
            database: DatabaseConfig {
                pool_max: 4,
                ..DatabaseConfig::default()
            },
            migrate: false,
            clock: Arc::new(clock.clone()),
            ids: Ids::new(Arc::new(clock.clone())),
            cache: CacheBackend::in_process(),
        };
        let platform = Platform::open(source, Nothing::migrations, options)
            .await
            .expect("the database can be opened");
        let host = Host::start::<Nothing>(Start {
            config: &(),
            platform: &platform,
            server: ServerConfig::on_free_ports(),
            peers: PeersConfig::default(),
            consumers: consumer::Options::default(),
        })
        .await;
        Self {
            clock,
            platform,
            host,
            _database: database,
        }
    }

    /// Says that this happened to a customer. Revisions of a customer grow.
    pub async fn emit<E: Message + Name>(&self, customer_id: &str, revision: i64, event: &E) {
        let customer_id = CustomerId::parse(customer_id).expect("a customer id");
        let mut tx = self.platform.tx().await.expect("the database is ours");
        tx.emit(&customer_id, revision, event);
        tx.commit().await.expect("the database is ours");
    }

    /// The consistency token that the service would have returned with that revision.
    #[must_use]
    pub fn token(&self, customer_id: &str, revision: i64) -> String {
        let customer_id = CustomerId::parse(customer_id).expect("a customer id");
        self.platform.token(&customer_id, revision)
    }
}

impl Upstream for FeedSource {
    fn source(&self) -> &'static str {
        self.platform.source
    }

    fn url(&self) -> String {
        self.host.url()
    }

    fn channel(&self) -> Channel {
        self.host.channel()
    }
}
