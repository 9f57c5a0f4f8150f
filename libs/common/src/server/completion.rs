//! Layer: handlers run to completion.
//!
//! Innermost. tonic drops a handler at the deadline or when the caller goes away, and dropping a
//! future in the middle of BEGIN leaves a broken connection in the pool (sqlx #4393). So the handler
//! runs in a task of its own: whoever waits may go, the work ends cleanly. Only the end of the grace
//! period at shutdown cuts it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::drain::{Drain, draining};
use super::panic;
use super::shed::Place;
use crate::{deadline, identity};

/// The handlers that are running, whether or not somebody still waits for them.
#[derive(Clone)]
pub(super) struct Running {
    pub tasks: TaskTracker,
    pub drain: Drain,
}

pub(super) async fn layer(
    State(running): State<Running>,
    mut request: Request,
    next: Next,
) -> Response {
    let place = request.extensions_mut().remove::<Place>();
    let handler = identity::scope(
        identity::current(),
        deadline::scope(deadline::current(), next.run(request)),
    );
    let drain = running.drain.clone();
    let work = async move {
        let _held_until_the_handler_is_done = place;
        tokio::select! {
            biased;
            response = handler => response,
            () = drain.cut() => draining().into_http(),
        }
    };
    match running.tasks.spawn(work.instrument(Span::current())).await {
        Ok(response) => response,
        Err(_panicked) => panic::internal().into_http(),
    }
}
