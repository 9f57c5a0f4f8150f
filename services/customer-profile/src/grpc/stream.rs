//! Streams of chunks, each answered once it is committed.

use common::platform::Platform;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

/// Answers that wait for a slow caller; then the import waits too.
const ANSWERS_WAITING_MAX: usize = 4;

/// What a stream of answers is.
pub type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Applies chunk after chunk. `apply` gets the chunk and the last row number of the chunk before, and returns
/// the answer with its own last row number. The first error ends the stream; what was answered stays.
///
/// The work runs in a task of its own: when the caller goes away, the chunk under way is committed or rolled
/// back in peace.
pub fn answer<Q, A, F, W>(platform: &Platform, mut chunks: Streaming<Q>, apply: F) -> Answers<A>
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Platform, Q, Option<i64>) -> W + Send + 'static,
    W: Future<Output = Result<(A, i64), crate::error::Error>> + Send,
{
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let platform = platform.clone();
    let work = async move {
        let mut row_before = None;
        while let Some(chunk) = chunks.next().await {
            let applied = match chunk {
                Ok(chunk) => apply(platform.clone(), chunk, row_before)
                    .await
                    .map_err(Status::from),
                Err(status) => Err(status),
            };
            let failed = applied.is_err();
            let answer = applied.map(|(answer, last_row)| {
                row_before = Some(last_row);
                answer
            });
            if answers.send(answer).await.is_err() || failed {
                break;
            }
        }
    };
    tokio::spawn(work.in_current_span());
    ReceiverStream::new(receiver)
}
