//! Durable consumers: they follow another service's change feed and keep this service's projections.
//!
//! The checkpoint lives in the consumer's own database and moves in the same transaction as the
//! projection, so each event has exactly one effect however often it arrives. A fenced lease (owner,
//! epoch, the database's clock) lets replicas compete: every transaction compares the epoch, so one
//! that lost its lease cannot write. An event that cannot be applied is parked, and the others go on.
//!
//! Invariant: the effect of an event and the checkpoint past it are committed together or not at all.

mod apply;
mod event;
mod run;
mod service;
mod store;

pub use event::{ApplyError, Event, Projection};
pub(crate) use run::run;
pub(crate) use service::AdminService;
pub(crate) use store::seen_revision;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::client::Peer;
use crate::platform::Platform;

/// How a consumer behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// A lease not renewed for this long may be taken over.
    pub lease: Duration,
    /// How often an event is tried before it is parked.
    pub attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            attempts: 3,
        }
    }
}

/// A consumer of one feed, and the handle by which it is administered.
#[derive(Clone)]
pub(crate) struct Consumer {
    /// `<service>.<source>`.
    pub name: String,
    /// The feed it follows.
    pub source: &'static str,
    pub platform: Platform,
    pub peer: Peer,
    pub options: Options,
    /// Rings when a replay was asked for.
    pub replay: Arc<Notify>,
}

impl Consumer {
    pub fn new(platform: &Platform, source: &'static str, peer: Peer, options: Options) -> Self {
        Self {
            name: format!("{}.{source}", platform.source),
            source,
            platform: platform.clone(),
            peer,
            options,
            replay: Arc::default(),
        }
    }
}
