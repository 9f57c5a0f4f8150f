//! Things that break while the services work: callers that go away or are too many, a cache or a database that dies.

mod cancellation;
mod merges;
mod overload;
mod postgres;
mod redis;
mod runs;
