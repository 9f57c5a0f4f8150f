//! A transaction that collects its events and appends them to the feed when it commits.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, join_all};
use prost::{Message, Name};
use sqlx::{Postgres, Transaction};

use super::writing::Writing;
use super::{Access, Conn, Db, open};
use crate::error::Error;
use crate::feed::signal::FeedSignal;
use crate::feed::store;
use crate::ids::{CustomerId, Ids};
use crate::telemetry::{self, metrics};
use crate::time::{Clock, Timestamp};

/// A transaction that writes looks few rows up by their keys, over and over. Its plans are made once and for all, for
/// lists of any length, and by the keys also while a table is still small: a plan outlives that. Where a list is joined
/// to a table that may yet be empty, `LATERAL (… OFFSET 0)` has each of its rows looked up by itself.
pub(crate) const BEGIN_ON_POSTGRES: &str = "BEGIN;
    SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL enable_seqscan = off";

/// What a transaction needs from the world around it.
#[derive(Clone)]
pub(crate) struct World {
    pub source: &'static str,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub signal: Arc<FeedSignal>,
}

/// An event that waits for its transaction's commit.
pub(crate) struct Pending {
    pub event_id: String,
    pub customer_id: CustomerId,
    pub revision: i64,
    pub recorded_at: Timestamp,
    pub type_url: String,
    pub payload: Vec<u8>,
    pub traceparent: String,
}

/// What a transaction has gathered so far that takes effect with its commit.
#[derive(Debug, Clone, Copy)]
pub struct Gathered {
    events: usize,
    afterwards: usize,
}

enum Inner {
    Postgres(Transaction<'static, Postgres>),
    Sqlite(Writing),
}

/// A transaction that writes. Dropping it rolls it back.
pub struct Tx {
    inner: Inner,
    world: World,
    instant: Option<Timestamp>,
    events: Vec<Pending>,
    afterwards: Vec<BoxFuture<'static, ()>>,
}

impl Tx {
    pub(crate) async fn begin(db: &Db, world: World) -> Result<Self, Error> {
        let inner = match db {
            Db::Postgres(pool) => Inner::Postgres(open::begin(pool, BEGIN_ON_POSTGRES).await?),
            Db::Sqlite { writer, .. } => Inner::Sqlite(Writing::begin(writer).await?),
        };
        Ok(Self {
            inner,
            world,
            instant: None,
            events: Vec::new(),
            afterwards: Vec::new(),
        })
    }

    /// The present instant, or the one that the transaction stands still at.
    pub fn now(&self) -> Timestamp {
        self.instant.unwrap_or_else(|| self.world.clock.now())
    }

    /// Makes this the instant of all that follows in the transaction, so that a decision and what is written of
    /// it agree however long they take.
    ///
    /// Call it after locking what is decided on: whatever others did while this waited lies in the past then.
    pub fn stand_still(&mut self) {
        self.instant = Some(self.world.clock.now());
    }

    /// Adds an event to the change feed, visible when the transaction commits.
    ///
    /// Call it after locking or changing the customer's row: the order of commits of one customer is
    /// then the order of the events.
    pub fn emit<E: Message + Name>(&mut self, customer_id: &CustomerId, revision: i64, event: &E) {
        self.events.push(Pending {
            event_id: self.world.ids.uuid(),
            customer_id: customer_id.clone(),
            revision,
            recorded_at: self.now(),
            type_url: E::type_url(),
            payload: event.encode_to_vec(),
            traceparent: telemetry::traceparent(),
        });
    }

    /// Has work done once the transaction has committed, before `commit` returns; none of it if it does not.
    /// For caches: what must not be lost belongs into the transaction.
    pub fn after_commit(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.afterwards.push(work.boxed());
    }

    /// How far events and work for after the commit have come.
    pub fn gathered(&self) -> Gathered {
        Gathered {
            events: self.events.len(),
            afterwards: self.afterwards.len(),
        }
    }

    /// Forgets the events and the work for after the commit that came since. What was written stays.
    pub fn forget_since(&mut self, before: Gathered) {
        self.events.truncate(before.events);
        self.afterwards.truncate(before.afterwards);
    }

    /// Makes everything durable and visible at once.
    pub async fn commit(mut self) -> Result<(), Error> {
        let events = std::mem::take(&mut self.events);
        store::append(&mut self, &events).await?;
        match self.inner {
            Inner::Postgres(tx) => tx.commit().await?,
            Inner::Sqlite(tx) => tx.commit().await?,
        }
        if !events.is_empty() {
            metrics::feed_events(self.world.source, events.len() as u64);
            self.world.signal.written();
        }
        join_all(self.afterwards).await;
        Ok(())
    }

    /// Marks a point to which [`Self::undo_to`] returns. It hides those before until it is released.
    pub async fn mark(&mut self) -> Result<Gathered, Error> {
        crate::on!(self, |conn| sqlx::query("SAVEPOINT mark")
            .execute(conn)
            .await
            .map(drop))?;
        Ok(self.gathered())
    }

    /// Undoes everything since the latest mark, events included.
    pub async fn undo_to(&mut self, mark: Gathered) -> Result<(), Error> {
        self.forget_since(mark);
        crate::on!(self, |conn| sqlx::query("ROLLBACK TO SAVEPOINT mark")
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Lets the latest mark go: what was done since stays.
    pub async fn release_mark(&mut self) -> Result<(), Error> {
        crate::on!(self, |conn| sqlx::query("RELEASE SAVEPOINT mark")
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}

impl Access for Tx {
    fn conn(&mut self) -> Conn<'_> {
        match &mut self.inner {
            Inner::Postgres(tx) => Conn::Postgres(tx),
            Inner::Sqlite(tx) => Conn::Sqlite(tx.conn()),
        }
    }
}
