//! The life of a consumer: take the lease, follow the feed, apply, give the lease back.

use std::time::Duration;

use api::feed::v1 as pb;
use pb::change_feed_service_client::ChangeFeedServiceClient;
use pb::watch_response::Item;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::apply::{Stop, apply_batch, replay_one};
use super::store::{self, Lease};
use super::{Consumer, Event, Projection};
use crate::error::{Error, ErrorInfo};
use crate::feed::Position;
use crate::telemetry::metrics;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Why one round of following ended.
#[derive(Debug, thiserror::Error)]
enum RoundEnd {
    #[error(transparent)]
    Stop(#[from] Stop),
    #[error("feed: {0}")]
    Feed(#[from] Status),
    #[error("the feed no longer holds what comes next: a rebuild from a snapshot is needed")]
    SnapshotRequired,
}

impl From<Error> for RoundEnd {
    fn from(error: Error) -> Self {
        Self::Stop(error.into())
    }
}

/// Runs until stopped; trouble is waited out.
pub(crate) async fn run<P: Projection>(consumer: Consumer, projection: P, stop: CancellationToken) {
    let owner = consumer.platform.ids.uuid();
    let mut pause = PAUSE_MIN;
    while !stop.is_cancelled() {
        let waiting = match acquire(&consumer, &owner).await {
            Ok(Some(mut lease)) => {
                metrics::consumer_lease_taken(&consumer.name);
                let since = Instant::now();
                let end = follow(&consumer, &projection, &owner, &mut lease, &stop).await;
                // Before the lease is released: the next owner may be of this process, too.
                metrics::consumer_left(&consumer.name);
                release(&consumer, &lease).await;
                if let Err(end) = end {
                    tracing::warn!(consumer = consumer.name, reason = %end, "consumer starts over");
                }
                pause = if since.elapsed() > PAUSE_MAX {
                    PAUSE_MIN
                } else {
                    (pause * 2).min(PAUSE_MAX)
                };
                pause
            }
            // Somebody else has it: look again well within a lease's length.
            Ok(None) => consumer.options.lease / 4,
            Err(error) => {
                tracing::warn!(consumer = consumer.name, %error, "consumer cannot take its lease");
                pause = (pause * 2).min(PAUSE_MAX);
                pause
            }
        };
        let _ = tokio::time::timeout(waiting, stop.cancelled()).await;
    }
}

async fn acquire(consumer: &Consumer, owner: &str) -> Result<Option<Lease>, Error> {
    let micros = i64::try_from(consumer.options.lease.as_micros()).unwrap_or(i64::MAX);
    let mut tx = consumer.platform.tx().await?;
    let lease = store::acquire(&mut tx, &consumer.name, consumer.source, owner, micros).await?;
    tx.commit().await?;
    Ok(lease)
}

async fn release(consumer: &Consumer, lease: &Lease) {
    let released = async {
        let mut tx = consumer.platform.tx().await?;
        store::release(&mut tx, lease).await?;
        tx.commit().await
    };
    if let Err(error) = released.await {
        tracing::debug!(consumer = consumer.name, %error, "lease not released, it will expire");
    }
}

/// Follows the feed while the lease holds. `Ok` when stopped.
async fn follow<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    owner: &str,
    lease: &mut Lease,
    stop: &CancellationToken,
) -> Result<(), RoundEnd> {
    let Some(begun) = stop.run_until_cancelled(watch(consumer, lease)).await else {
        return Ok(());
    };
    let mut stream = match begun {
        Err(RoundEnd::Feed(status)) => {
            rewind(consumer, lease, status).await?;
            let Some(begun) = stop.run_until_cancelled(watch(consumer, lease)).await else {
                return Ok(());
            };
            begun?
        }
        stream => stream?,
    };
    let mut renewal = tokio::time::interval(consumer.options.lease / 3);
    while replay_one(consumer, projection, lease).await? {}
    report_parked(consumer).await?;
    loop {
        tokio::select! {
            // Applying runs in this task, so a long batch delays renewal; the epoch check in every
            // transaction, not the renewal, is what keeps two replicas from both applying.
            _ = renewal.tick() => {
                let renewed = acquire(consumer, owner).await?;
                if renewed.is_none_or(|renewed| renewed.epoch != lease.epoch) {
                    return Err(Stop::Fenced.into());
                }
            }
            () = consumer.replay.notified() => {
                while replay_one(consumer, projection, lease).await? {}
                report_parked(consumer).await?;
            }
            item = stream.message() => {
                let Some(item) = item? else { return Ok(()) };
                handle(consumer, projection, lease, item.item).await?;
            }
            () = stop.cancelled() => return Ok(()),
        }
    }
}

async fn watch(
    consumer: &Consumer,
    lease: &Lease,
) -> Result<Streaming<pb::WatchResponse>, RoundEnd> {
    let mut client = ChangeFeedServiceClient::new(consumer.peer.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = pb::WatchRequest {
        source: consumer.source.to_owned(),
        after_position: lease.position.clone(),
        event_types: Vec::new(),
        heartbeat_interval_seconds: 1,
    };
    Ok(client.watch(request).await?.into_inner())
}

/// The feed was restored from a backup: goes on from where this consumer and the feed still agree. What it has
/// applied beyond that stays, and is told of.
async fn rewind(consumer: &Consumer, lease: &mut Lease, status: Status) -> Result<(), RoundEnd> {
    let mut info = ErrorInfo::of(&status);
    let resume = info.metadata.remove("resume_position");
    let Some(resume) = resume.filter(|_| info.reason == "FEED_EPOCH_CHANGED") else {
        return Err(status.into());
    };
    let number = |position: &str| Position::decode(position).map(|position| position.number);
    let undone = number(&lease.position)? - number(&resume)?;
    let mut tx = consumer.platform.tx().await?;
    if !store::advance(&mut tx, lease, &resume, 0).await? {
        return Err(Stop::Fenced.into());
    }
    tx.commit().await?;
    lease.position = resume;
    metrics::consumer_rewound(&consumer.name);
    tracing::error!(
        consumer = consumer.name,
        undone,
        "the feed was restored from a backup: events that were applied here are gone from it"
    );
    Ok(())
}

async fn report_parked(consumer: &Consumer) -> Result<(), Error> {
    let stored = store::find(&mut consumer.platform.reader().await?, &consumer.name).await?;
    let parked = stored.map_or(0, |stored| stored.parked_events.unsigned_abs());
    metrics::consumer_parked(&consumer.name, parked);
    Ok(())
}

async fn handle<P: Projection>(
    consumer: &Consumer,
    projection: &P,
    lease: &mut Lease,
    item: Option<Item>,
) -> Result<(), RoundEnd> {
    match item {
        Some(Item::Events(batch)) => {
            let remaining = batch.remaining;
            let events: Result<Vec<_>, _> = batch.events.into_iter().map(Event::try_from).collect();
            let events = events?;
            apply_batch(consumer, projection, lease, &events, remaining).await?;
            metrics::consumer_applied(&consumer.name, events.len() as u64);
            metrics::consumer_lag(&consumer.name, remaining.unsigned_abs());
            report_parked(consumer).await?;
        }
        Some(Item::Checkpoint(checkpoint)) => {
            metrics::consumer_lag(&consumer.name, checkpoint.remaining.unsigned_abs());
            if checkpoint.position == lease.position {
                return Ok(());
            }
            let mut tx = consumer.platform.tx().await?;
            let moved =
                store::advance(&mut tx, lease, &checkpoint.position, checkpoint.remaining).await?;
            if !moved {
                return Err(Stop::Fenced.into());
            }
            tx.commit().await?;
            lease.position = checkpoint.position;
        }
        Some(Item::SnapshotRequired(_)) => return Err(RoundEnd::SnapshotRequired),
        None => {}
    }
    Ok(())
}
