//! Layer: more calls than the server can work on are refused at once instead of queued.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

use crate::error::Refusal;
use crate::telemetry::metrics;

/// When to come back. Long enough to let a burst pass, short enough that a retry is not noticed.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A place among the calls that are worked on. It travels in the request's extensions, to be held
/// until the handler is done, also when its caller has gone.
#[derive(Clone)]
pub(super) struct Place(
    #[expect(dead_code, reason = "held, never read")] Arc<OwnedSemaphorePermit>,
);

pub(super) async fn layer(
    State(places): State<Arc<Semaphore>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = places.try_acquire_owned() else {
        metrics::call_shed();
        return Refusal::new(
            Code::ResourceExhausted,
            "SERVER_OVERLOADED",
            "too many calls at once",
        )
        .retry_after(RETRY_AFTER)
        .into_status()
        .into_http();
    };
    request.extensions_mut().insert(Place(Arc::new(permit)));
    next.run(request).await
}
