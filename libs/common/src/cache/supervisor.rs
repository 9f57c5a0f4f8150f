//! Keeps a session with Redis going: connects, watches, connects again with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Target;
use super::remote::Remote;
use super::session::{Session, resend};
use super::tracking::Tracking;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A session that lasted this long was a good one: the next pause is short again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// Runs until it is aborted.
pub(super) async fn supervise(target: Target, remote: Arc<Remote>, tracking: Arc<Tracking>) {
    let mut pause = PAUSE_MIN;
    let mut outage_logged = false;
    for id in 1.. {
        let began = Instant::now();
        match Session::open(&target, id, &tracking).await {
            Ok(session) => {
                remote.set_link(Some(session.link()));
                resend(&remote).await;
                tracking.on(id);
                tracing::info!("cache connected to Redis");
                outage_logged = false;
                let reason = session.watch(&target, &remote).await;
                tracking.off(id);
                remote.set_link(None);
                tracing::warn!(reason, "cache lost Redis: lookups reach the database");
            }
            Err(error) if !outage_logged => {
                tracing::warn!(%error, "cache cannot reach Redis: lookups reach the database");
                outage_logged = true;
            }
            Err(_) => {}
        }
        if began.elapsed() >= GOOD_SESSION {
            pause = PAUSE_MIN;
        }
        tokio::time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}
