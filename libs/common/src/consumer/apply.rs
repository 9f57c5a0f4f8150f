//! Applying events: a batch in one transaction, one by one when that fails, parking what cannot be applied.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

use super::store::{self, Lease};
use super::{ApplyError, Consumer, Event, Projection};
use crate::db::Tx;
use crate::error::Error;

const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Why applying stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// Another replica took the lease over.
    #[error("the lease was lost")]
    Fenced,
    /// Trouble that may pass.
    #[error(transparent)]
    Trouble(#[from] Error),
}

/// Applies a batch and moves the checkpoint to its end.
pub(super) async fn apply_batch<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    lease: &mut Lease,
    events: &[Event],
    remaining: i64,
) -> Result<(), Stop> {
    let applied = try_batch(consumer, projection, lease, events, remaining).await?;
    if applied.is_ok() {
        return Ok(());
    }
    let mut left = remaining + i64::try_from(events.len()).expect("a batch is small");
    for event in events {
        left -= 1;
        apply_one(consumer, projection, lease, event, left).await?;
    }
    Ok(())
}

/// Applies one event, or parks it after a few attempts.
async fn apply_one<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    lease: &mut Lease,
    event: &Event,
    remaining: i64,
) -> Result<(), Stop> {
    let events = std::slice::from_ref(event);
    let mut failure = String::new();
    for attempt in 1..=consumer.options.attempts {
        if attempt > 1 {
            tokio::time::sleep(PAUSE_BETWEEN_ATTEMPTS * attempt).await;
        }
        match try_batch(consumer, projection, lease, events, remaining).await? {
            Ok(()) => return Ok(()),
            Err(poison) => failure = poison,
        }
    }
    tracing::error!(
        consumer = consumer.name,
        event.id = event.event_id,
        failure,
        "event parked"
    );
    let mut tx = consumer.platform.tx().await?;
    if !store::advance(&mut tx, lease, &event.position, remaining).await? {
        return Err(Stop::Fenced);
    }
    let attempts = consumer.options.attempts;
    store::insert_parked(&mut tx, &consumer.name, event, &failure, attempts).await?;
    tx.commit().await?;
    lease.position.clone_from(&event.position);
    Ok(())
}

/// One transaction: checkpoint, events, revisions seen. `Ok(Err(reason))`: an event is poisonous and
/// nothing happened.
async fn try_batch<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    lease: &mut Lease,
    events: &[Event],
    remaining: i64,
) -> Result<Result<(), String>, Stop> {
    let Some(last) = events.last() else {
        return Ok(Ok(()));
    };
    let mut tx = consumer.platform.tx().await?;
    if !store::advance(&mut tx, lease, &last.position, remaining).await? {
        return Err(Stop::Fenced);
    }
    match apply_all(projection, &mut tx, events).await {
        Ok(()) => {}
        Err(ApplyError::Poison(reason)) => return Ok(Err(reason)),
        Err(ApplyError::Retry(error)) => return Err(error.into()),
    }
    let revisions: BTreeMap<_, _> = events
        .iter()
        .map(|event| (&event.customer_id, event.revision))
        .collect();
    let revisions: Vec<_> = revisions.into_iter().collect();
    store::upsert_seen(&mut tx, consumer.source, &revisions).await?;
    tx.commit().await?;
    lease.position.clone_from(&last.position);
    Ok(Ok(()))
}

/// A panic would end the consumer's task for good: it counts against the events instead.
async fn apply_all<P: Projection>(
    projection: &P,
    tx: &mut Tx,
    events: &[Event],
) -> Result<(), ApplyError> {
    let apply = AssertUnwindSafe(projection.apply_all(tx, events)).catch_unwind();
    let panicked = |_| Err(ApplyError::Poison("the projection panicked".to_owned()));
    apply.await.unwrap_or_else(panicked)
}

/// Tries a parked event again; it leaves the list if that goes well. Returns whether there was one.
pub(super) async fn replay_one<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    lease: &Lease,
) -> Result<bool, Stop> {
    let mut reader = consumer.platform.reader().await?;
    let Some(parked) = store::find_replay(&mut reader, &consumer.name).await? else {
        return Ok(false);
    };
    drop(reader);
    let event = parked.event();
    let mut tx = consumer.platform.tx().await?;
    // Checks the lease and holds its row; the checkpoint stays where it is.
    let stored = store::find(&mut tx, &consumer.name).await?;
    let lag_events = stored.map_or(0, |stored| stored.lag_events);
    if !store::advance(&mut tx, lease, &lease.position, lag_events).await? {
        return Err(Stop::Fenced);
    }
    // Deleted before it is applied: whoever discards it at the same moment waits, or was first.
    if !store::delete_parked(&mut tx, &consumer.name, &event.event_id).await? {
        return Ok(true);
    }
    match apply_all(projection, &mut tx, std::slice::from_ref(&event)).await {
        Ok(()) => {
            store::upsert_seen(
                &mut tx,
                consumer.source,
                &[(&event.customer_id, event.revision)],
            )
            .await?;
        }
        Err(ApplyError::Poison(reason)) => {
            drop(tx);
            tx = consumer.platform.tx().await?;
            store::update_failure(&mut tx, &consumer.name, &event.event_id, &reason).await?;
        }
        Err(ApplyError::Retry(error)) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(true)
}
