//! Forgetting what is old, copying SQLite's log, and sampling the pool.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::db::Dialect;
use crate::error::Error;
use crate::mutation;
use crate::platform::Platform;
use crate::telemetry::metrics;

/// Answers forgotten in one transaction: on SQLite nobody else writes meanwhile.
const FORGOTTEN_AT_ONCE: i64 = 2000;
const FORGET_EVERY: Duration = Duration::from_mins(10);
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// At the fastest that two cores can write, some ten thousand pages.
const COPY_LOG_EVERY: Duration = Duration::from_millis(250);

/// Runs until stopped.
pub(crate) async fn run(platform: Platform, stop: CancellationToken) {
    tokio::join!(
        sample_pool(&platform, &stop),
        forget_old(&platform, &stop),
        copy_log(&platform, &stop),
    );
}

async fn sample_pool(platform: &Platform, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (in_use, idle) = platform.db.load();
        metrics::pool(platform.source, in_use, idle);
    }
}

async fn copy_log(platform: &Platform, stop: &CancellationToken) {
    if platform.db.dialect() == Dialect::Postgres {
        return;
    }
    let mut ticks = tokio::time::interval(COPY_LOG_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = platform.db.copy_log().await {
            tracing::warn!(%error, source = platform.source, "the log is not copied, trying again later");
        }
    }
}

async fn forget_old(platform: &Platform, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    // The first tick is at once: a process that restarts often still forgets.
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = forget(platform).await {
            tracing::warn!(%error, source = platform.source, "housekeeping failed, trying again later");
        }
    }
}

async fn forget(platform: &Platform) -> Result<(), Error> {
    let now = platform.now();
    loop {
        let mut tx = platform.tx().await?;
        let before = now - mutation::ANSWERS_KEPT;
        let forgotten = mutation::store::delete_before(&mut tx, before, FORGOTTEN_AT_ONCE).await?;
        tx.commit().await?;
        if forgotten == 0 {
            break;
        }
    }
    if let Some(retention) = platform.feed_retention {
        let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        platform.compact_feed(now - retention).await?;
    }
    Ok(())
}
