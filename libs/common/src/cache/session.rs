//! One session with Redis: from connecting until anything about it fails.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, PushInfo, PushKind, RedisResult, Value};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Target};
use super::remote::{Link, Remote};
use super::tracking::{PREFIX, SessionId, Tracking};

/// How soon a connection that died silently is noticed.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Unsent changes told to Redis at once.
const RESEND_BATCH: usize = 256;

/// Connections that are all alive; dropping it closes them.
pub(super) struct Session {
    connection: Connection,
    masters: Vec<ConnectionAddr>,
    trackers: Vec<MultiplexedConnection>,
    lost: CancellationToken,
}

impl Session {
    /// Connects and asks every master for invalidations. A connection that breaks turns `tracking`
    /// off at once.
    pub async fn open(
        target: &Target,
        id: SessionId,
        tracking: &Arc<Tracking>,
    ) -> RedisResult<Self> {
        let mut connection = target.connect().await?;
        let masters = target.masters(&mut connection).await?;
        let lost = CancellationToken::new();
        let mut trackers = Vec::new();
        for master in &masters {
            let (tracking, lost) = (Arc::clone(tracking), lost.clone());
            let on_push = move |push| heed(&push, id, &tracking, &lost);
            let mut tracker = target.connect_tracker(master.clone(), on_push).await?;
            redis::cmd("CLIENT")
                .arg(&["TRACKING", "ON", "BCAST", "PREFIX", PREFIX])
                .query_async::<()>(&mut tracker)
                .await?;
            trackers.push(tracker);
        }
        Ok(Self {
            connection,
            masters,
            trackers,
            lost,
        })
    }

    pub fn link(&self) -> Link {
        Link {
            connection: self.connection.clone(),
            lost: self.lost.clone(),
        }
    }

    /// Returns when the session is of no use any more, with the reason.
    pub async fn watch(mut self, target: &Target, remote: &Remote) -> String {
        loop {
            tokio::select! {
                () = self.lost.cancelled() => return "connection lost or too slow".to_owned(),
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            match self.beat(target).await {
                Ok(true) => resend(remote).await,
                Ok(false) => return "the cluster has other masters now".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Whether the masters are still the same; an error if one does not answer.
    async fn beat(&mut self, target: &Target) -> RedisResult<bool> {
        for tracker in &mut self.trackers {
            redis::cmd("PING").query_async::<()>(tracker).await?;
        }
        Ok(target.masters(&mut self.connection).await? == self.masters)
    }
}

/// Tells Redis of the changes that it missed, as far as it answers.
pub(super) async fn resend(remote: &Remote) {
    loop {
        let changes = remote.unsent().some(RESEND_BATCH);
        let sent = changes.iter().map(async |(key, version)| {
            let sent = remote.fence(key, *version).await;
            if sent {
                remote.unsent().sent(key, *version);
            }
            sent
        });
        let sent = futures::future::join_all(sent).await;
        if sent.is_empty() || sent.contains(&false) {
            return;
        }
    }
}

/// Runs in the connection's own task, so that a change is known before anything later is read.
fn heed(push: &PushInfo, id: SessionId, tracking: &Tracking, lost: &CancellationToken) {
    match push.kind {
        PushKind::Invalidate => match push.data.first() {
            Some(Value::Array(keys)) => {
                for key in keys {
                    if let Value::BulkString(key) = key
                        && let Ok(key) = std::str::from_utf8(key)
                    {
                        tracking.changed(key);
                    }
                }
            }
            // No list of keys: everything was flushed.
            _ => tracking.flushed(id),
        },
        PushKind::Disconnection => {
            tracking.off(id);
            lost.cancel();
        }
        _ => {}
    }
}
