//! What tests stand on: private servers, fresh databases, test servers, a clock that obeys.
//!
//! PostgreSQL and Redis are started by the tests themselves and end with them, also when a test
//! process is killed. A missing program is a failure that says what to install, never a skipped test.
//!
//! Invariant: this crate never touches a server that it did not start.

pub mod postgres;
mod redis;
mod scratch;
mod servers;

pub use redis::{RedisServer, redis, shared_redis_url};
pub use servers::Servers;
