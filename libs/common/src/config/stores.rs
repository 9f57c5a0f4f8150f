//! Databases, Redis, and the other services.

use std::path::PathBuf;
use std::time::Duration;

use super::{PeerAccessConfig, Secret, duration};

/// The service's own database.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite:FILE`. Without it the service keeps a SQLite file in the data folder.
    #[arg(long, env = "ASTERISM_DATABASE_URL", hide_env_values = true)]
    #[arg(conflicts_with = "database_url_file")]
    pub database_url: Option<Secret>,
    /// File that holds the database URL.
    #[arg(long, env = "ASTERISM_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Folder for SQLite files; made when missing.
    #[arg(
        long,
        env = "ASTERISM_DATA",
        value_name = "FOLDER",
        default_value = "data"
    )]
    pub data: PathBuf,
    /// Connections at most.
    #[arg(long, env = "ASTERISM_DATABASE_POOL_MAX", default_value_t = 16)]
    pub pool_max: u32,
    /// A call waits this long for a connection before it is refused.
    #[arg(long, env = "ASTERISM_DATABASE_POOL_WAIT", value_parser = duration, default_value = "5s")]
    pub pool_wait: Duration,
    /// A statement that runs this long is ended by PostgreSQL.
    #[arg(long, env = "ASTERISM_STATEMENT_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub statement_timeout: Duration,
    /// Changes older than this leave the change feed, like 8760h; without it all are kept. A consumer
    /// that is further behind needs a snapshot.
    #[arg(long, env = "ASTERISM_FEED_RETENTION", value_parser = duration)]
    pub feed_retention: Option<Duration>,
}

impl DatabaseConfig {
    /// The URL from wherever it was given; `None` asks for a SQLite file in the data folder.
    pub fn url(&self) -> Result<Option<Secret>, crate::Error> {
        let Some(file) = &self.database_url_file else {
            return Ok(self.database_url.clone());
        };
        let url = std::fs::read_to_string(file).map_err(|error| {
            crate::Error::Config(format!(
                "cannot read the database URL: {}: {error}",
                file.display()
            ))
        })?;
        Ok(Some(Secret::from(url.trim().to_owned())))
    }

    /// The URL as given, or that of a SQLite file for `service` in the data folder, which is made.
    pub fn url_for(&self, service: &str) -> Result<Secret, crate::Error> {
        if let Some(url) = self.url()? {
            return Ok(url);
        }
        std::fs::create_dir_all(&self.data).map_err(|error| {
            let folder = self.data.display();
            crate::Error::Config(format!("cannot make the data folder {folder}: {error}"))
        })?;
        let file = self.data.join(format!("{service}.db"));
        Ok(Secret::from(format!("sqlite:{}", file.display())))
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        super::defaults()
    }
}

/// The cache.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cache")]
pub struct RedisConfig {
    /// `redis://…`. Without it the cache is in the process only.
    #[arg(long, env = "ASTERISM_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// The URL names nodes of a Redis Cluster, separated by commas.
    #[arg(long, env = "ASTERISM_REDIS_CLUSTER", requires = "redis_url")]
    pub redis_cluster: bool,
    /// Authorities whose certificate a `rediss://` server must have, in PEM; without it those of the system. It is
    /// read again for every connection.
    #[arg(
        long,
        env = "ASTERISM_REDIS_CA_FILE",
        value_name = "FILE",
        requires = "redis_url"
    )]
    pub redis_ca_file: Option<PathBuf>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        super::defaults()
    }
}

/// Where the other services are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Other services")]
pub struct PeersConfig {
    /// Address of the customer profile service, like `http://customer-profile:50051`.
    #[arg(long, env = "ASTERISM_PEER_CUSTOMER", value_name = "URL")]
    pub peer_customer: Option<String>,
    /// Address of the segmentation service.
    #[arg(long, env = "ASTERISM_PEER_SEGMENTATION", value_name = "URL")]
    pub peer_segmentation: Option<String>,
    /// Address of the loyalty points service.
    #[arg(long, env = "ASTERISM_PEER_LOYALTY", value_name = "URL")]
    pub peer_loyalty: Option<String>,
    /// Address of the feedback service.
    #[arg(long, env = "ASTERISM_PEER_FEEDBACK", value_name = "URL")]
    pub peer_feedback: Option<String>,
    /// How they are called.
    #[command(flatten)]
    pub access: PeerAccessConfig,
}

impl PeersConfig {
    /// All services behind one address.
    pub fn all_at(url: &str) -> Self {
        let url = Some(url.to_owned());
        Self {
            peer_customer: url.clone(),
            peer_segmentation: url.clone(),
            peer_loyalty: url.clone(),
            peer_feedback: url,
            access: PeerAccessConfig::default(),
        }
    }

    /// Address of a service by the name of its feed, for example `customer`.
    pub fn address(&self, service: &str) -> Option<&str> {
        match service {
            "customer" => self.peer_customer.as_deref(),
            "segmentation" => self.peer_segmentation.as_deref(),
            "loyalty" => self.peer_loyalty.as_deref(),
            "feedback" => self.peer_feedback.as_deref(),
            _ => None,
        }
    }
}

impl Default for PeersConfig {
    fn default() -> Self {
        super::defaults()
    }
}
