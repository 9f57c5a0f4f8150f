//! The four services in one process, on one port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use common::Error;
use common::auth::Authenticator;
use common::cache::CacheBackend;
use common::config::{AuthConfig, DatabaseConfig, PeerAccessConfig, PeersConfig, ServerConfig};
use common::ids::Ids;
use common::platform::{Platform, PlatformOptions};
use common::process::epoch_begun;
use common::server::{self, Drain, Serve};
use common::service::{Assembly, Running, Service};
use common::time::{Clock, SystemClock};
use customer_profile::CustomerProfile;
use feedback::Feedback;
use loyalty_points::Loyalty;
use segmentation::Segmentation;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Settings of the whole suite.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SuiteConfig {
    /// Ports and limits.
    #[command(flatten)]
    pub server: ServerConfig,
    /// Databases; the suite keeps one SQLite file for each service in the data folder.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Who may call.
    #[command(flatten)]
    pub auth: AuthConfig,
    /// How the services call each other.
    #[command(flatten)]
    pub peers: PeerAccessConfig,
    /// Of customer-profile.
    #[command(flatten)]
    pub customer: <CustomerProfile as Service>::Config,
    /// Of loyalty-points.
    #[command(flatten)]
    pub loyalty: <Loyalty as Service>::Config,
    /// Of segmentation.
    #[command(flatten)]
    pub segmentation: <Segmentation as Service>::Config,
    /// Of feedback.
    #[command(flatten)]
    pub feedback: <Feedback as Service>::Config,
}

/// The suite, running.
pub struct Suite {
    /// Where the API is reached.
    pub api: SocketAddr,
    /// Where health and metrics are reached.
    pub ops: SocketAddr,
    background: Running,
    platforms: Vec<Platform>,
    server: JoinHandle<Result<(), Error>>,
    shutdown: CancellationToken,
}

impl Suite {
    /// Opens the databases (making and migrating what is missing), then the ports.
    pub async fn start(config: &SuiteConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        if config.database.url()?.is_some() {
            return Err(Error::Config(
                "the all-in-one keeps SQLite files in --data; to use PostgreSQL run the four services"
                    .to_owned(),
            ));
        }
        let authenticator = Authenticator::from_config(&config.auth)?;
        let scheme = scheme(config)?;
        let bound = server::bind(config.server.clone(), authenticator.is_some()).await?;
        let (api, ops) = (bound.api_addr(), bound.ops_addr());
        let drain = Drain::new();
        let mut peers = PeersConfig::all_at(&format!("{scheme}://{api}"));
        peers.access.clone_from(&config.peers);
        let mut assembly = Assembly::new(peers, drain.clone());
        let loyalty = config.loyalty.with_key_in(folder(config)?)?;
        let customer = CustomerProfile::with_secrets_in(&config.customer, folder(config)?)?;
        let platforms = vec![
            add::<CustomerProfile>(&mut assembly, &customer, config, &clock).await?,
            add::<Loyalty>(&mut assembly, &loyalty, config, &clock).await?,
            add::<Segmentation>(&mut assembly, &config.segmentation, config, &clock).await?,
            add::<Feedback>(&mut assembly, &config.feedback, config, &clock).await?,
        ];
        let assembled = assembly.assemble();
        let serve = Serve {
            routes: assembled.routes,
            lookups: assembled.lookups,
            health_names: assembled.health_names,
            authenticator,
            drain,
        };
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(bound.serve(serve, shutdown.clone()));
        let background = assembled.background.start();
        Ok(Self {
            api,
            ops,
            background,
            platforms,
            server,
            shutdown,
        })
    }

    /// Drains, ends the background work, closes the databases.
    pub async fn stop(self) -> Result<(), Error> {
        self.shutdown.cancel();
        self.background.stop().await;
        let served = self
            .server
            .await
            .map_err(|error| Error::Internal(error.to_string()))?;
        for platform in self.platforms {
            platform.db.close().await;
        }
        served
    }
}

/// Tells the readers of all four feeds that the data folder was restored from a backup.
pub async fn begin_epochs(database: &DatabaseConfig) -> Result<(), Error> {
    let suite = SuiteConfig {
        database: database.clone(),
        ..SuiteConfig::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for platform in [
        open::<CustomerProfile>(&suite, &clock).await?,
        open::<Loyalty>(&suite, &clock).await?,
        open::<Segmentation>(&suite, &clock).await?,
        open::<Feedback>(&suite, &clock).await?,
    ] {
        let begins = platform.renew_feed_epoch().await?;
        platform.db.close().await;
        println!("{}", epoch_begun(platform.source, &begins));
    }
    Ok(())
}

/// How the services reach each other: over the port that everybody uses.
fn scheme(config: &SuiteConfig) -> Result<&'static str, Error> {
    if config.server.tls.certificate_file.is_none() {
        return Ok("http");
    }
    if config.peers.peer_ca_file.is_none() || config.peers.peer_tls_name.is_none() {
        return Err(Error::Config(
            "the services call each other over TLS, too: set --peer-ca-file to the authority of the certificate \
             and --peer-tls-name to a name in it"
                .to_owned(),
        ));
    }
    Ok("https")
}

async fn add<S: Service>(
    assembly: &mut Assembly,
    service: &S::Config,
    suite: &SuiteConfig,
    clock: &Arc<dyn Clock>,
) -> Result<Platform, Error> {
    let platform = open::<S>(suite, clock).await?;
    assembly.add::<S>(service, &platform)?;
    Ok(platform)
}

async fn open<S: Service>(suite: &SuiteConfig, clock: &Arc<dyn Clock>) -> Result<Platform, Error> {
    let options = PlatformOptions {
        database_url: sqlite_url(folder(suite)?, S::NAME),
        database: suite.database.clone(),
        migrate: true,
        clock: clock.clone(),
        ids: Ids::new(clock.clone()),
        cache: CacheBackend::in_process(),
    };
    Platform::open(S::NAME, S::migrations, options).await
}

/// The data folder, made when missing.
fn folder(suite: &SuiteConfig) -> Result<&Path, Error> {
    let folder = suite.database.data.as_path();
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::Config(format!(
            "cannot make the data folder {}: {error}",
            folder.display()
        ))
    })?;
    Ok(folder)
}

fn sqlite_url(folder: &Path, name: &str) -> String {
    let file = folder.join(format!("{name}.db"));
    format!("sqlite:{}", file.display())
}
