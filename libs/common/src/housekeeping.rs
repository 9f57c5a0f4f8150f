//! Forgetting what is old, and sampling the pool.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::mutation;
use crate::platform::Platform;

/// Answers to repeated mutations are kept this long; facts with a natural key need no answer kept.
const ANSWERS_KEPT: TimeDelta = TimeDelta::days(30);
/// Changes are kept this long; slower readers start from a snapshot.
const CHANGES_KEPT: TimeDelta = TimeDelta::days(30);
const EVERY: Duration = Duration::from_mins(10);

/// Runs until stopped.
pub(crate) async fn run(platform: Platform, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    // The first tick is at once: a process that restarts often still forgets.
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = forget(&platform).await {
            tracing::warn!(%error, source = platform.source, "housekeeping failed, trying again later");
        }
    }
}

async fn forget(platform: &Platform) -> Result<(), Error> {
    let now = platform.now();
    let mut tx = platform.tx().await?;
    mutation::store::delete_before(&mut tx, now - ANSWERS_KEPT).await?;
    tx.commit().await?;
    platform.compact_feed(now - CHANGES_KEPT).await?;
    Ok(())
}
