//! What all four services stand on: values, errors, pages, the database seam, mutations, the change
//! feed and its consumers, the cache, telemetry and the server kit.
//!
//! A request passes `server` (layers), a service's `grpc` module, and comes here for `mutation`
//! (idempotency), `db` (one SQL text, two databases) and `feed` (events in the same transaction).
//!
//! Invariant: this crate knows no service; it depends on `api` only.

pub mod auth;
pub mod cache;
pub mod client;
pub mod config;
pub mod consumer;
pub mod db;
pub mod deadline;
pub mod error;
pub mod etag;
pub mod feed;
mod housekeeping;
pub mod identity;
pub mod ids;
pub mod money;
pub mod mutation;
pub mod page;
pub mod platform;
pub mod process;
pub mod sealing;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod time;
mod tls;
pub mod token;
pub mod validate;

pub use error::{Error, Refusal};

/// Every program of the suite allocates through it, SQLite included: calls and batches make and drop much at once, on
/// threads that take turns.
#[cfg(not(test))] // Its own tests link it a second time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
