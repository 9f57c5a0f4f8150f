//! What tests stand on: private servers, fresh databases, test servers, a clock that obeys.
//!
//! PostgreSQL and Redis are started by the tests themselves and end with them, also when a test
//! process is killed. A missing program is a failure that says what to install, never a skipped test.
//!
//! Invariant: this crate never touches a server that it did not start.

mod certificates;
mod clock;
mod database;
mod feed;
mod host;
pub mod postgres;
mod redis;
mod refusal;
mod scratch;
mod server;
mod servers;
mod until;

pub use certificates::{Authority, Issued};
pub use clock::{FakeClock, time};
pub use database::{Backend, Database, PostgresDatabase};
pub use feed::FeedSource;
pub use redis::{RedisServer, encrypted_redis, redis, shared_redis_url};
pub use refusal::{assert_refused, violations};
pub use server::{Setup, TestServer, Upstream};
pub use servers::Servers;
pub use until::{PATIENCE, until};
