//! The stream behind `Watch`: pages of the feed, checkpoints when idle, an orderly end.

use std::future::ready;
use std::time::Duration;

use api::feed::v1 as pb;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use pb::watch_response::Item;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::{Feed, Page};
use crate::error::{Error, Refusal};
use crate::server::{self, Drain};

const BATCH: i64 = 500;
const BUFFER: usize = 4;
const POLLING: Duration = Duration::from_millis(250);
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// What the caller wants.
pub(super) struct Watching {
    pub feed: Feed,
    pub after: i64,
    pub types: Vec<String>,
    pub heartbeat: Duration,
    pub drain: Drain,
}

type Answer = Result<pb::WatchResponse, Status>;

/// Starts the stream; the task behind it ends when the caller goes, is too slow, or the server drains.
pub(super) fn stream(watching: Watching) -> BoxStream<'static, Answer> {
    behind(|answers| async move { run(&watching, &answers).await })
}

/// What a task of its own sends, then the status it fails with: also to a caller who left no room for it.
fn behind<W>(work: impl FnOnce(mpsc::Sender<Answer>) -> W) -> BoxStream<'static, Answer>
where
    W: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (answers, receiver) = mpsc::channel(BUFFER);
    let work = tokio::spawn(work(answers));
    let end = async move {
        let done = work
            .await
            .unwrap_or_else(|panicked| Err(Error::Internal(panicked.to_string()).into()));
        done.err().map(Err)
    };
    ReceiverStream::new(receiver)
        .chain(stream::once(end).filter_map(ready))
        .boxed()
}

async fn run(watching: &Watching, answers: &mpsc::Sender<Answer>) -> Result<(), Status> {
    let mut doorbell = watching.feed.signal.on_advanced();
    let mut after = watching.after;
    let mut last_sent = Instant::now();
    let mut epoch = None;
    loop {
        let page = match watching.feed.read(after, BATCH, &watching.types).await {
            Err(Error::PositionCompacted { earliest }) => {
                let item = Item::SnapshotRequired(pb::SnapshotRequired {
                    earliest_position: earliest,
                });
                return send(answers, item).await;
            }
            page => page?,
        };
        // Numbers go on, but what they count is another life; asking again tells from where on.
        if epoch.get_or_insert_with(|| page.head.epoch.clone()) != &page.head.epoch {
            return Err(Error::FeedEpochChanged { resume: None }.into());
        }
        let grown = page.number > after;
        after = page.number;
        let draining = watching.drain.is_begun();
        let due = draining || last_sent.elapsed() >= watching.heartbeat;
        let caught_up = after >= page.head.position;
        if let Some(item) = item(&watching.feed, page, due || (grown && caught_up)) {
            send(answers, item).await?;
            last_sent = Instant::now();
        }
        if draining {
            return Err(server::draining());
        }
        if caught_up {
            tokio::select! {
                () = doorbell.heard_or(POLLING.min(watching.heartbeat)) => {}
                () = watching.drain.begun() => {}
                () = answers.closed() => return Ok(()),
            }
        }
    }
}

/// Events if there are any, otherwise a checkpoint if one is due.
fn item(feed: &Feed, page: Page, checkpoint: bool) -> Option<Item> {
    let remaining = (page.head.position - page.number).max(0);
    if !page.events.is_empty() {
        return Some(Item::Events(pb::EventBatch {
            events: page.events,
            remaining,
        }));
    }
    let position = feed.position(&page.head, page.number).encode();
    checkpoint.then_some(Item::Checkpoint(pb::Checkpoint {
        position,
        remaining,
    }))
}

async fn send(answers: &mpsc::Sender<Answer>, item: Item) -> Result<(), Status> {
    let answer = Ok(pb::WatchResponse { item: Some(item) });
    match answers.send_timeout(answer, SLOW_AFTER).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Refusal::new(
            Code::Aborted,
            "SLOW_CONSUMER",
            "the stream was not read for too long: resume from the last position",
        )
        .into_status()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_in_the_end_why_the_stream_ended() {
        let (filled, full) = tokio::sync::oneshot::channel();
        let answers = behind(|answers| async move {
            for _ in 0..BUFFER {
                answers.try_send(Ok(pb::WatchResponse::default())).unwrap();
            }
            filled.send(()).unwrap();
            Err(Status::aborted("too slow"))
        });
        full.await.unwrap();
        let answers: Vec<_> = answers.collect().await;
        assert_eq!(answers.len(), BUFFER + 1);
        assert_eq!(answers[BUFFER].as_ref().unwrap_err().code(), Code::Aborted);
    }
}
