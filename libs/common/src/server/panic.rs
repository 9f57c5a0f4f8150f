//! Layer: a panic becomes INTERNAL and the server lives on.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use tonic::{Code, Status};

use crate::error::Refusal;

/// The panic hook has logged message and place; the caller learns neither.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => internal().into_http(),
    }
}

pub(super) fn internal() -> Status {
    Refusal::new(Code::Internal, "INTERNAL", "internal error").into_status()
}
