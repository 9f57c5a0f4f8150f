//! Waiting for what another task, process or server does in its own time.

use std::time::Duration;

/// What has not happened after this long never will, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks: long enough to leave the processor to those who are waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until something holds; panics with `what` if it does not come to hold.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let holds = async {
        while !holds().await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, holds).await;
    assert!(held.is_ok(), "not in time: {what}");
}
