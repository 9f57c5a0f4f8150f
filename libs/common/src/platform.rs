//! What a service is given: its database, the clock, ids, its feed and the cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::CacheBackend;
use crate::config::DatabaseConfig;
use crate::consumer;
use crate::db::{Db, Dialect, Migrations, Reader, Snapshot, Tx, World};
use crate::deadline;
use crate::error::Error;
use crate::feed::signal::FeedSignal;
use crate::feed::{Feed, Position, sequencer, store};
use crate::ids::{CustomerId, Ids};
use crate::sealing::Keys;
use crate::telemetry::metrics;
use crate::time::{Clock, Timestamp};
use crate::token::ConsistencyToken;

/// A read waits at most this long for a revision, and less if the caller's deadline is nearer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Left over for the answer when a wait ends at the caller's deadline.
const ANSWER_MARGIN: Duration = Duration::from_millis(30);

/// Between two looks at a schema that is too old.
const SCHEMA_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Changes forgotten in one transaction.
const COMPACTED_AT_ONCE: i64 = 2000;

/// The world as one service sees it.
#[derive(Clone)]
pub struct Platform {
    /// Name of the service, and of its feed: `customer`, `loyalty`, …
    pub source: &'static str,
    /// Its database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New identifiers.
    pub ids: Ids,
    /// Where hot values may be cached.
    pub cache: CacheBackend,
    /// Older changes leave the feed; `None` keeps all.
    pub(crate) feed_retention: Option<Duration>,
    signal: Arc<FeedSignal>,
    /// Seal the answers that are kept; `None` keeps them in the clear.
    pub(crate) answers: Option<Keys>,
}

/// How to open a platform.
pub struct PlatformOptions {
    /// `postgres://…` or `sqlite:PATH`.
    pub database_url: String,
    /// Size and limits of the pool.
    pub database: DatabaseConfig,
    /// Bring the schema up to date first; otherwise it is only checked.
    pub migrate: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New identifiers.
    pub ids: Ids,
    /// Where hot values may be cached.
    pub cache: CacheBackend,
}

impl Platform {
    /// Opens the database of a service, whose schema must be new enough.
    pub async fn open(
        source: &'static str,
        migrations: fn() -> Migrations,
        options: PlatformOptions,
    ) -> Result<Self, Error> {
        let platform = Self::connect(source, migrations, options).await?;
        if !platform.prepare(migrations).await? {
            return Err(Error::Config(platform.outdated()));
        }
        Ok(platform)
    }

    /// Opens the database of a service, which may not have the schema yet: nothing may be done with it before
    /// [`prepare`](Self::prepare) says so.
    pub(crate) async fn connect(
        source: &'static str,
        migrations: fn() -> Migrations,
        options: PlatformOptions,
    ) -> Result<Self, Error> {
        let db = Db::open(&options.database_url, &options.database).await?;
        if options.migrate {
            db.migrate(migrations()).await?;
        }
        let signal = Arc::new(FeedSignal::new(db.dialect() == Dialect::Postgres));
        let PlatformOptions {
            database,
            clock,
            ids,
            cache,
            ..
        } = options;
        Ok(Self {
            source,
            db,
            clock,
            ids,
            cache,
            feed_retention: database.feed_retention,
            signal,
            answers: None,
        })
    }

    /// The same, whose answers to mutations are kept sealed. Those that were kept in the clear are still known.
    #[must_use]
    pub fn with_sealed_answers(self, keys: Keys) -> Self {
        Self {
            answers: Some(keys),
            ..self
        }
    }

    /// Whether the schema is new enough; if so, the database is ready for use afterwards.
    pub(crate) async fn prepare(&self, migrations: fn() -> Migrations) -> Result<bool, Error> {
        if !self.db.is_migrated(migrations()).await? {
            return Ok(false);
        }
        let mut tx = self.tx().await?;
        store::insert_head(&mut tx, &self.ids.uuid()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Returns once the schema is new enough. Whatever goes wrong meanwhile may go well later.
    pub(crate) async fn prepared(&self, migrations: fn() -> Migrations) {
        loop {
            match self.prepare(migrations).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot look at the schema, trying again"),
            }
            tokio::time::sleep(SCHEMA_LOOK_EVERY).await;
        }
    }

    /// What a service tells while its schema is too old.
    pub(crate) fn outdated(&self) -> String {
        let source = self.source;
        format!("the {source} database is older than this build: run the migrate command first")
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A connection for single statements that read.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let asked = Instant::now();
        let reader = self.db.reader().await;
        metrics::pool_waited(self.source, asked.elapsed());
        reader
    }

    /// Several reads that see one state.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let asked = Instant::now();
        let snapshot = self.db.snapshot().await;
        metrics::pool_waited(self.source, asked.elapsed());
        snapshot
    }

    /// A transaction that writes.
    pub async fn tx(&self) -> Result<Tx, Error> {
        let world = World {
            source: self.source,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            signal: self.signal.clone(),
        };
        let asked = Instant::now();
        let tx = Tx::begin(&self.db, world).await;
        metrics::pool_waited(self.source, asked.elapsed());
        tx
    }

    /// The service's change feed.
    pub fn feed(&self) -> Feed {
        Feed {
            source: self.source,
            db: self.db.clone(),
            signal: self.signal.clone(),
        }
    }

    /// Ends the life of the feed's positions, after a restore from a backup and before anything is written;
    /// returns where the new life begins.
    pub async fn renew_feed_epoch(&self) -> Result<Position, Error> {
        let feed = self.feed();
        // What the backup holds and had no position yet comes before the new life: consumers have it, most likely.
        sequencer::drain(&feed).await?;
        let mut tx = self.tx().await?;
        let head = store::renew_epoch(&mut tx, &self.ids.uuid()).await?;
        tx.commit().await?;
        Ok(feed.position(&head, head.position))
    }

    /// Forgets changes recorded before an instant; returns the feed's new floor.
    pub async fn compact_feed(&self, before: Timestamp) -> Result<i64, Error> {
        let mut floor = None;
        loop {
            // In steps: nothing is sequenced, and on SQLite nothing written, while one runs.
            let mut tx = self.tx().await?;
            let raised = store::compact(&mut tx, before, COMPACTED_AT_ONCE).await?;
            tx.commit().await?;
            if floor.replace(raised) == Some(raised) {
                return Ok(raised);
            }
        }
    }

    /// Token for a revision that this service has just written.
    pub fn token(&self, customer_id: &CustomerId, revision: i64) -> String {
        ConsistencyToken {
            source: self.source.to_owned(),
            customer_id: customer_id.clone(),
            revision,
        }
        .encode()
    }

    /// The revision a token of this service asks for; 0 for no token, another service's, or another customer's.
    pub fn own_revision(&self, token: &str, customer_id: &CustomerId) -> Result<i64, Error> {
        let token = ConsistencyToken::decode(token)?;
        Ok(token
            .filter(|token| token.source == self.source && token.customer_id == *customer_id)
            .map_or(0, |token| token.revision))
    }

    /// Waits until this database has applied what the token stands for.
    ///
    /// A token of this very service needs no wait: its database is where the write went.
    pub async fn at_least(&self, token: &str) -> Result<(), Error> {
        let Some(token) = ConsistencyToken::decode(token)? else {
            return Ok(());
        };
        if token.source == self.source {
            return Ok(());
        }
        let wait = deadline::remaining().map_or(WAIT_MAX, |left| {
            left.saturating_sub(ANSWER_MARGIN).min(WAIT_MAX)
        });
        let until = Instant::now() + wait;
        let mut pause = Duration::from_millis(2);
        loop {
            let seen = consumer::seen_revision(&mut self.reader().await?, &token).await?;
            if seen.is_some_and(|revision| revision >= token.revision) {
                return Ok(());
            }
            if Instant::now() + pause >= until {
                return Err(Error::Behind);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
