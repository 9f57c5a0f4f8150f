//! Short waits that mostly end well, bounded by one clock for all of them.
//!
//! Each timer of its own that is earlier than all others wakes the thread that waits for the first of them, and both
//! then want the same lock. A wait of some microseconds, once for each call, costs less than that. So one task keeps
//! time for all who wait, and only while somebody does. Invariant: whoever waits is let go at the latest two ticks later.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// The longest wait is twice this.
const TICK: Duration = Duration::from_millis(10);
/// So many ticks after the last wait the clock stops, and the next one has to start it.
const TICKS_UNUSED: u32 = 100;

/// Bounds waits.
#[derive(Debug)]
pub(super) struct Patience {
    clock: Arc<Clock>,
    _ticking: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Clock {
    ticks: Notify,
    starts: Notify,
    is_running: AtomicBool,
    /// Whether somebody has begun to wait since it was last looked at.
    is_used: AtomicBool,
}

impl Patience {
    /// Keeps time as long as it lives.
    pub fn new() -> Self {
        let clock = Arc::<Clock>::default();
        let ticking = tokio::spawn(Arc::clone(&clock).keep_time());
        Self {
            clock,
            _ticking: AbortOnDropHandle::new(ticking),
        }
    }

    /// What comes of it, if it comes soon.
    pub async fn wait<F: Future>(&self, future: F) -> Option<F::Output> {
        let waiting = async {
            // A tick may come before its time for who has just come; the next does not.
            self.clock.tick().await;
            self.clock.tick().await;
        };
        match select(pin!(future), pin!(waiting)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}

impl Clock {
    /// Waits for the next one.
    async fn tick(&self) {
        // It counts as waiting from here on, and not when it is first polled.
        let tick = self.ticks.notified();
        self.is_used.store(true, Ordering::SeqCst);
        if !self.is_running.swap(true, Ordering::SeqCst) {
            self.starts.notify_one();
        }
        tick.await;
    }

    async fn keep_time(self: Arc<Self>) {
        loop {
            self.starts.notified().await;
            let mut unused = 0;
            while unused < TICKS_UNUSED {
                sleep(TICK).await;
                self.ticks.notify_waiters();
                let is_used = self.is_used.swap(false, Ordering::SeqCst);
                unused = if is_used { 0 } else { unused + 1 };
            }
            self.is_running.store(false, Ordering::SeqCst);
            // Whoever came just before saw it running.
            if self.is_used.load(Ordering::SeqCst) && !self.is_running.swap(true, Ordering::SeqCst)
            {
                self.starts.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_soon_is_waited_for_and_what_does_not_is_given_up() {
        let patience = Patience::new();
        for _ in 0..3 {
            assert_eq!(patience.wait(ready(7)).await, Some(7));
            let late = async {
                sleep(TICK / 2).await;
                7
            };
            assert_eq!(patience.wait(late).await, Some(7));
            let began = Instant::now();
            assert_eq!(patience.wait(pending::<()>()).await, None);
            let waited = began.elapsed();
            assert!(waited >= TICK && waited <= 3 * TICK, "{waited:?}");
            // Long enough for the clock to stop.
            sleep(2 * TICKS_UNUSED * TICK).await;
            assert!(!patience.clock.is_running.load(Ordering::SeqCst));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_are_let_go() {
        let patience = Patience::new();
        let waits = (0..100).map(|number| {
            let patience = &patience;
            async move {
                sleep(TICK * number / 7).await;
                patience.wait(pending::<()>()).await
            }
        });
        let ended = futures::future::join_all(waits).await;
        assert!(ended.iter().all(Option::is_none));
    }
}
