//! Streams of chunks, each answered once it is committed.

use std::panic::AssertUnwindSafe;

use common::server::{Drain, draining};
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

/// Answers that wait for a slow caller; then the import waits too.
const ANSWERS_WAITING_MAX: usize = 4;

/// What a stream of answers is.
pub type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Applies chunk after chunk. `apply` gets the chunk and the last row number of the chunk before, and returns
/// the answer with its own last row number. The first error ends the stream; what was answered stays. A draining
/// server ends it between two chunks: the caller resumes elsewhere after the last row answered.
///
/// The work runs in a task of its own: when the caller goes away, the chunk under way is committed or rolled
/// back in peace.
pub fn answer<Q, A, F, W>(
    mut chunks: impl Stream<Item = Result<Q, Status>> + Unpin + Send + 'static,
    drain: Drain,
    apply: F,
) -> Answers<A>
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Fn(Q, Option<i64>) -> W + Send + 'static,
    W: Future<Output = Result<(A, i64), crate::error::Error>> + Send,
{
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let last_words = answers.clone();
    let work = async move {
        let mut row_before = None;
        loop {
            let chunk = tokio::select! {
                biased;
                () = drain.begun() => Some(Err(draining())),
                chunk = chunks.next() => chunk,
            };
            let Some(chunk) = chunk else { break };
            let applied = match chunk {
                Ok(chunk) => apply(chunk, row_before).await.map_err(Status::from),
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
    let work = async move {
        // A stream that merely ends would tell the caller that every chunk was applied.
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            let panicked = common::Error::Internal("an import panicked".to_owned());
            let _ = last_words.send(Err(panicked.into())).await;
        }
    };
    tokio::spawn(work.in_current_span());
    ReceiverStream::new(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_no_good_end_of_a_stream() {
        let chunks = tokio_stream::iter([Ok(1), Ok(2), Ok(3)]);
        let answers = answer(chunks, Drain::new(), |chunk, _| async move {
            assert!(chunk != 2, "the second chunk panics");
            Ok((chunk, chunk))
        });
        let answers: Vec<_> = answers
            .map(|answer| answer.map_err(|s| s.code()))
            .collect()
            .await;
        assert_eq!(answers, [Ok(1), Err(tonic::Code::Internal)]);
    }

    #[tokio::test]
    async fn a_draining_server_ends_an_import_between_two_chunks() {
        let drain = Drain::new();
        let begin = drain.clone();
        let chunks = tokio_stream::iter([Ok(1), Ok(2), Ok(3)]);
        let answers = answer(chunks, drain, move |chunk, _| {
            if chunk == 2 {
                begin.begin();
            }
            async move { Ok((chunk, chunk)) }
        });
        let answers: Vec<_> = answers
            .map(|answer| answer.map_err(|s| s.code()))
            .collect()
            .await;
        assert_eq!(answers, [Ok(1), Ok(2), Err(tonic::Code::Unavailable)]);
    }
}
