//! The life of a request, as a list.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use super::authentication::Callers;
use super::completion::Running;
use super::{
    Drain, authentication, authorisation, completion, deadline, details, drain, observe, panic,
    shed,
};

/// What the layers need.
pub(super) struct Parts {
    pub unary_deadline: Duration,
    pub places: Arc<Semaphore>,
    pub callers: Callers,
    pub drain: Drain,
    pub running: Running,
}

pub(super) type Stack = BoxCloneSyncService<http::Request<tonic::body::Body>, Response, Infallible>;

/// `open` (health, reflection) is answered whatever the load and whoever asks; `services` are guarded.
pub(super) fn stack(open: Router, services: Router, parts: Parts) -> Stack {
    let guarded = ServiceBuilder::new()
        // Before any work is done for the call, checking its token included.
        .layer(from_fn_with_state(parts.places, shed::layer))
        .layer(from_fn_with_state(parts.callers, authentication::layer))
        // Needs to know who calls.
        .layer(from_fn(authorisation::layer))
        // Innermost: what it spawns carries identity, deadline and span of the layers above.
        .layer(from_fn_with_state(parts.running, completion::layer))
        .service(services);
    let all = ServiceBuilder::new()
        .map_request(|request: http::Request<tonic::body::Body>| -> Request {
            request.map(axum::body::Body::new)
        })
        // Outermost, so that refusals of every other layer are traced and counted.
        .layer(from_fn(observe::layer))
        // Outside of whatever may panic.
        .layer(from_fn(panic::layer))
        // Whatever is refused further in carries its details.
        .layer(from_fn(details::layer))
        // Ends what outlives the grace period of a shutdown, also calls without a deadline.
        .layer(from_fn_with_state(parts.drain, drain::layer))
        // Outside of the guards, which then count against the caller's time.
        .layer(from_fn_with_state(parts.unary_deadline, deadline::layer))
        .service(open.fallback_service(guarded));
    BoxCloneSyncService::new(all)
}
