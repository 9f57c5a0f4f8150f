//! The change feed: what happened, gapless and in order, for anybody who follows along.
//!
//! A transaction's events go to `outbox` (PostgreSQL) and a sequencer moves them to `feed`, or straight
//! to `feed` (SQLite). Sequence numbers drawn inside concurrent transactions have gaps that fill later,
//! so positions are assigned only after commit, under the head row's lock.
//!
//! Invariant: a position, once readable, never gets a smaller neighbour.

mod position;
pub(crate) mod sequencer;
mod service;
pub mod signal;
pub(crate) mod store;
mod watch;

pub use position::Position;
pub(crate) use service::FeedService;

use std::sync::Arc;

use api::feed::v1 as pb;

use crate::db::Db;
use crate::error::Error;
use crate::feed::signal::FeedSignal;
use store::{Head, Stored};

/// The feed of one service, for reading.
#[derive(Debug, Clone)]
pub struct Feed {
    pub(crate) source: &'static str,
    pub(crate) db: Db,
    pub(crate) signal: Arc<FeedSignal>,
}

/// Changes read in one go, and where reading ended.
pub(crate) struct Page {
    pub events: Vec<pb::Event>,
    /// Everything up to here was looked at, matching or not.
    pub number: i64,
    pub head: Head,
}

impl Feed {
    /// The position of the newest change; everything committed before the call is at or before it.
    pub async fn head(&self) -> Result<Position, Error> {
        sequencer::drain(self).await?;
        let head = store::get_head(&mut self.db.reader().await?).await?;
        Ok(self.position(&head, head.position))
    }

    /// The number after which a caller wants to read. Empty text means from the earliest change.
    pub(crate) async fn start(&self, after: &str) -> Result<i64, Error> {
        let mut reader = self.db.reader().await?;
        let head = store::get_head(&mut reader).await?;
        if after.is_empty() {
            return Ok(head.floor);
        }
        let position = Position::decode(after)?;
        if position.source != self.source {
            return Err(Error::InvalidPosition);
        }
        if position.epoch != head.epoch {
            let common = store::find_common_end(&mut reader, &position.epoch).await?;
            let resume = common.map(|end| self.position(&head, end.min(position.number)).encode());
            return Err(Error::FeedEpochChanged { resume });
        }
        // It comes from a life of the database that a backup has undone, and nobody has said so yet.
        if position.number > head.position {
            return Err(Error::FeedEpochChanged { resume: None });
        }
        if position.number < head.floor {
            return Err(Error::PositionCompacted {
                earliest: self.position(&head, head.floor).encode(),
            });
        }
        Ok(position.number)
    }

    /// Reads up to `limit` changes after a number and keeps those of the wanted types.
    pub(crate) async fn read(
        &self,
        after: i64,
        limit: i64,
        types: &[String],
    ) -> Result<Page, Error> {
        let mut reader = self.db.reader().await?;
        let stored = store::list_after(&mut reader, after, limit).await?;
        let head = store::get_head(&mut reader).await?;
        if after < head.floor {
            return Err(Error::PositionCompacted {
                earliest: self.position(&head, head.floor).encode(),
            });
        }
        let number = stored.last().map_or(after, |last| last.position);
        let wanted = |event: &Stored| {
            let name = event.type_url.rsplit('/').next().unwrap_or_default();
            types.is_empty() || types.iter().any(|wanted| wanted == name)
        };
        let events = stored
            .into_iter()
            .filter(wanted)
            .map(|stored| self.event(&head, stored))
            .collect();
        Ok(Page {
            events,
            number,
            head,
        })
    }

    pub(crate) fn position(&self, head: &Head, number: i64) -> Position {
        Position {
            source: self.source.to_owned(),
            epoch: head.epoch.clone(),
            number,
        }
    }

    fn event(&self, head: &Head, stored: Stored) -> pb::Event {
        pb::Event {
            position: self.position(head, stored.position).encode(),
            event_id: stored.event_id,
            customer_id: stored.customer_id,
            revision: stored.revision,
            recorded_at: Some(stored.recorded_at.into()),
            payload: Some(prost_types::Any {
                type_url: stored.type_url,
                value: stored.payload,
            }),
            traceparent: stored.traceparent,
        }
    }
}
