//! The ops port: plaintext, for probes and scrapers, and out of reach of every limit.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use super::Health;
use crate::telemetry::metrics;

/// gRPC health, and over HTTP/1.1 `/metrics`, `/livez` and `/readyz`.
pub(super) fn routes(health: &Health) -> Router {
    Router::new()
        .route("/metrics", get(prometheus))
        // The process answers, that is all: a database that is down is no reason to be restarted.
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health.clone())
        .merge(health.routes().reset_fallback())
}

async fn prometheus() -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics::text(),
    )
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    if health.is_serving() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let reason = health.reason();
    let separator = if reason.is_empty() { "" } else { ": " };
    let text = format!("not serving{separator}{reason}\n");
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
