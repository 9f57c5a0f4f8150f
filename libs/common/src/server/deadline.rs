//! Layer: a call is answered by its deadline, whatever its handler does.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};

use super::{body, method};
use crate::error::Refusal;

/// tonic has a timer of its own outside of every layer, which answers CANCELLED. Ours has to ring first, also where
/// this thread is kept waiting between the two looks: it counts from a stamp taken before tonic's starts, and this
/// much less, but not more than half.
const AHEAD_MAX: Duration = Duration::from_millis(5);
/// The runtime's timer goes by such ticks.
const TICK: Duration = Duration::from_millis(1);

/// When the request arrived, stamped before anything else happens to it.
#[derive(Clone, Copy)]
pub(super) struct Arrived(pub Instant);

pub(super) async fn layer(
    State(unary_default): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let unary = method::is_unary(request.uri().path());
    let arrived = request
        .extensions()
        .get()
        .map_or_else(Instant::now, |Arrived(at)| *at);
    let asked = crate::deadline::from_headers(request.headers());
    let budget = asked.or(unary.then_some(unary_default));
    // A budget beyond what the clock can express is no limit at all.
    let deadline = budget.and_then(|budget| arrived.checked_add(before(budget)));
    let answer = crate::deadline::scope(deadline, next.run(request));
    let (Some(deadline), Some(budget)) = (deadline, budget) else {
        return answer.await;
    };
    if deadline <= Instant::now() {
        // Nobody waits for it any more: the work is not even begun.
        return exceeded(budget).into_http();
    }
    tokio::select! {
        biased;
        response = answer => {
            if unary || body::code_in(response.headers()).is_some() {
                return response;
            }
            let ending = Box::pin(async move {
                passed(deadline).await;
                exceeded(budget)
            });
            response.map(|stream| body::until(stream, ending))
        }
        () = passed(deadline) => exceeded(budget).into_http(),
    }
}

/// Waits for an instant, and looks at the clock at every look: a timer of a busy runtime may not know yet.
async fn passed(deadline: Instant) {
    let mut timer = pin!(sleep_until(deadline));
    poll_fn(|cx| match timer.as_mut().poll(cx) {
        Poll::Pending if Instant::now() < deadline => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

/// How much of a budget there is until ours rings.
pub(super) fn before(budget: Duration) -> Duration {
    budget.saturating_sub((budget / 2).clamp(TICK, AHEAD_MAX))
}

fn exceeded(budget: Duration) -> Status {
    let message = format!("deadline of {budget:?} exceeded; the outcome of a write is unknown");
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
        .with("deadline_ms", budget.as_millis())
        .into_status()
}
