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
        Self {
            postgres: Cluster::start(),
            redis: RedisServer::launch(),
        }
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
