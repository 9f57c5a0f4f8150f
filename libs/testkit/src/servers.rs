//! One PostgreSQL and one Redis for a whole run of tests.

use crate::postgres::{self, Cluster};
use crate::redis::{self, RedisServer};

/// Servers that several test processes share through variables; they end when this is dropped.
pub struct Servers {
    postgres: Cluster,
    redis: RedisServer,
}

impl Servers {
    /// Starts both.
    #[must_use]
    pub fn start() -> Self {
        Self::with(Cluster::start())
    }

    /// Starts both, PostgreSQL as in production: see [`Cluster::start_durable`].
    #[must_use]
    pub fn start_durable() -> Self {
        Self::with(Cluster::start_durable())
    }

    fn with(postgres: Cluster) -> Self {
        let redis = RedisServer::launch();
        Self { postgres, redis }
    }

    /// The environment variables that tell test processes where the servers are.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            (postgres::VARIABLE, self.postgres.base_url()),
            (redis::VARIABLE, self.redis.url.clone()),
        ]
    }
}
