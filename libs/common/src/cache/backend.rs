//! What the caches of a process share: the connection to Redis, or the knowledge that there is none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::Target;
use super::remote::Remote;
use super::supervisor;
use super::tracking::Tracking;
use crate::error::Error;

/// A start does not wait longer for Redis.
const FIRST_SESSION: Duration = Duration::from_millis(500);

/// Without news of what others change, an entry is not believed for longer.
const WITHOUT_NEWS: Duration = Duration::from_secs(5);

/// How to use Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The servers are a Redis Cluster.
    pub cluster: bool,
    /// How long a lookup waits for Redis before it asks the database.
    pub response_timeout: Duration,
    /// Authorities whose certificate a `rediss://` server must have; `None` believes those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            cluster: false,
            response_timeout: Duration::from_millis(100),
            ca_file: None,
        }
    }
}

/// Where caches live. Clones share everything; the connections close with the last clone and the
/// last cache.
#[derive(Clone)]
pub struct CacheBackend {
    tracking: Arc<Tracking>,
    remote: Option<Arc<Supervised>>,
    believed_for: Duration,
}

struct Supervised {
    remote: Arc<Remote>,
    supervisor: JoinHandle<()>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl CacheBackend {
    /// L1 only, where nobody but this process changes what is cached: there is nothing to miss.
    pub fn in_process() -> Self {
        let tracking = Arc::new(Tracking::new());
        tracking.on(1);
        Self {
            tracking,
            remote: None,
            believed_for: Duration::MAX,
        }
    }

    /// L1 only, where others change it, too, and nobody tells of it.
    pub fn without_news() -> Self {
        Self {
            believed_for: WITHOUT_NEWS,
            ..Self::in_process()
        }
    }

    /// L1 and Redis at `url`: a server, or some nodes of a cluster separated by commas. Fails if
    /// the URL makes no sense, not if Redis does not answer: it may come later.
    pub async fn redis(url: &str, cluster: bool) -> Result<Self, Error> {
        Self::redis_with(
            url,
            RedisOptions {
                cluster,
                ..RedisOptions::default()
            },
        )
        .await
    }

    /// Like [`redis`](Self::redis), with everything to choose.
    pub async fn redis_with(url: &str, options: RedisOptions) -> Result<Self, Error> {
        let response_timeout = options.response_timeout;
        let target = Target::parse(url, options)
            .map_err(|error| Error::Config(format!("the Redis URL is no good: {error}")))?;
        let tracking = Arc::new(Tracking::new());
        let remote = Arc::new(Remote::new(response_timeout));
        let supervise = supervisor::supervise(target, Arc::clone(&remote), Arc::clone(&tracking));
        let supervisor = tokio::spawn(supervise);
        let backend = Self {
            tracking,
            remote: Some(Arc::new(Supervised { remote, supervisor })),
            believed_for: Duration::MAX,
        };
        let mut online = backend.online();
        if tokio::time::timeout(FIRST_SESSION, online.wait_for(|online| *online))
            .await
            .is_err()
        {
            tracing::warn!("starting without Redis");
        }
        Ok(backend)
    }

    /// How long an entry may be kept in this process at most.
    pub(super) fn believed_for(&self) -> Duration {
        self.believed_for
    }

    /// Whether caches are in use, now and in future: false while Redis is out of reach.
    pub fn online(&self) -> watch::Receiver<bool> {
        self.tracking.online()
    }

    pub(super) fn tracking(&self) -> &Arc<Tracking> {
        &self.tracking
    }

    pub(super) fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref().map(|supervised| &supervised.remote)
    }
}
