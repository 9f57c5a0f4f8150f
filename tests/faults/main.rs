//! Things that break while the services work: callers that go away, a cache that dies.

mod cancellation;
mod postgres;
mod redis;
