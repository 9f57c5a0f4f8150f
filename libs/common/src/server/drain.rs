//! Shutting down politely: streams learn that the server drains, and whatever outlives the grace
//! period is cut with a status the caller can act on.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{body, method};
use crate::error::Refusal;

/// Tells the parts of a server that it is draining. The caller makes one and hands clones to the
/// server and to everything that streams or works in the background.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    cut: CancellationToken,
}

impl Drain {
    /// A server that is not draining.
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes when draining begins: streams end with a resumable status, loops stop.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    pub(super) async fn begun_owned(self) {
        self.begun.cancelled_owned().await;
    }

    /// Whether draining has begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Begins draining. The server does this itself after its drain delay; background work that has
    /// no server calls it.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Completes when the grace period is over and the work that remains is abandoned.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    pub(super) fn cut_now(&self) {
        self.begun.cancel();
        self.cut.cancel();
    }
}

/// The status with which calls and streams end when the server goes: call or resume elsewhere.
pub fn draining() -> Status {
    Refusal::new(
        Code::Unavailable,
        "SERVER_DRAINING",
        "the server is shutting down, call again",
    )
    .retry_after(Duration::from_millis(100))
    .into_status()
}

/// Layer: cuts calls and streams that outlive the grace period. The streams of health and reflection
/// have nothing to finish and end as soon as draining begins.
pub(super) async fn layer(State(drain): State<Drain>, request: Request, next: Next) -> Response {
    let unary = method::is_unary(request.uri().path());
    let ours = api::method(request.uri().path()).is_some();
    let mut ending: body::Ending = Box::pin(async move {
        if ours {
            drain.cut().await;
        } else {
            drain.begun().await;
        }
        draining()
    });
    tokio::select! {
        biased;
        response = next.run(request) => {
            if unary || body::code_in(response.headers()).is_some() {
                return response;
            }
            response.map(|stream| body::until(stream, ending))
        }
        status = &mut ending => status.into_http(),
    }
}
