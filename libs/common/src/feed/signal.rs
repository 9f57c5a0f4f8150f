//! Wakes whoever waits for the feed, inside this process. A hint only: everybody polls as well.

use std::time::Duration;

use tokio::sync::watch;

/// Two doorbells: something was written, and the feed has grown.
#[derive(Debug)]
pub struct FeedSignal {
    written: watch::Sender<u64>,
    advanced: watch::Sender<u64>,
    sequenced: bool,
}

impl FeedSignal {
    /// `sequenced`: whether a sequencer stands between writing and the feed.
    pub(crate) fn new(sequenced: bool) -> Self {
        Self {
            written: watch::Sender::new(0),
            advanced: watch::Sender::new(0),
            sequenced,
        }
    }

    /// A transaction with events has committed.
    pub(crate) fn written(&self) {
        if self.sequenced {
            self.written.send_modify(|count| *count += 1);
        } else {
            self.advanced();
        }
    }

    /// Readers can see more than before.
    pub(crate) fn advanced(&self) {
        self.advanced.send_modify(|count| *count += 1);
    }

    pub(crate) fn on_written(&self) -> Doorbell {
        Doorbell(self.written.subscribe())
    }

    pub(crate) fn on_advanced(&self) -> Doorbell {
        Doorbell(self.advanced.subscribe())
    }
}

/// Remembers what rang since it was last heard.
#[derive(Debug)]
pub(crate) struct Doorbell(watch::Receiver<u64>);

impl Doorbell {
    /// Returns when it rings, or after the polling interval.
    pub(crate) async fn heard_or(&mut self, polling: Duration) {
        // The sender lives as long as the platform; a timeout is the normal idle case.
        let _ = tokio::time::timeout(polling, self.0.changed()).await;
    }
}
