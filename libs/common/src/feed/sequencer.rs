//! Gives outbox rows their positions, on PostgreSQL.
//!
//! Any replica may run it: the lock of the feed's head row is the exclusion.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::{Feed, store};
use crate::db::{BEGIN_ON_POSTGRES, Db};
use crate::error::Error;

const BATCH: i64 = 1000;
const POLLING: Duration = Duration::from_millis(250);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Sequences whatever is in the outbox now.
pub(crate) async fn drain(feed: &Feed) -> Result<(), Error> {
    let Db::Postgres(pool) = &feed.db else {
        return Ok(());
    };
    let mut conn = pool.acquire().await?;
    if !store::has_outbox(&mut conn).await? {
        return Ok(());
    }
    drop(conn);
    loop {
        let mut tx = pool.begin_with(BEGIN_ON_POSTGRES).await?;
        let moved = store::sequence(&mut tx, BATCH).await?;
        tx.commit().await?;
        if moved > 0 {
            feed.signal.advanced();
        }
        // Fewer than it may take are all there were.
        if moved < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Sequences until stopped: at once after a commit of this process, by polling for those of others.
pub(crate) async fn run(feed: Feed, stop: CancellationToken) {
    let Db::Postgres(pool) = feed.db.clone() else {
        return;
    };
    let listener = tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(listen(feed.clone(), pool)),
    );
    let mut doorbell = feed.signal.on_written();
    while !stop.is_cancelled() {
        if let Err(error) = drain(&feed).await {
            tracing::warn!(%error, source = feed.source, "sequencing failed, trying again");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
        tokio::select! {
            () = doorbell.heard_or(POLLING) => {}
            () = stop.cancelled() => {}
        }
    }
    // What was committed while stopping still gets its position here rather than at the next start.
    if let Err(error) = drain(&feed).await {
        tracing::warn!(%error, source = feed.source, "sequencing failed while stopping");
    }
    let _ = listener.await;
}

/// Passes on the notifications of other replicas; lost ones are made up for by polling.
async fn listen(feed: Feed, pool: sqlx::PgPool) {
    loop {
        if let Err(error) = listen_once(&feed, &pool).await {
            tracing::debug!(%error, source = feed.source, "listening for the feed failed");
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

async fn listen_once(feed: &Feed, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("asterism_feed").await?;
    loop {
        listener.recv().await?;
        feed.signal.advanced();
    }
}
