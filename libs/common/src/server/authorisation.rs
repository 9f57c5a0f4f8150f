//! Layer: may the caller call this? Nobody may unless the method's scope says who.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use crate::error::Refusal;
use crate::identity;

pub(super) async fn layer(request: Request, next: Next) -> Response {
    let Some(method) = api::method(request.uri().path()) else {
        return unknown(request.uri().path()).into_http();
    };
    match denial(method) {
        None => next.run(request).await,
        Some(status) => status.into_http(),
    }
}

fn denial(method: &api::Method) -> Option<Status> {
    let Some(scope) = method.scope else {
        // A method that forgot its scope is closed for everybody.
        return Some(identity::missing("none is declared"));
    };
    identity::require(scope).err()
}

/// The answer to a method that this server does not have.
pub(super) fn unknown(path: &str) -> Status {
    Refusal::new(
        Code::Unimplemented,
        "METHOD_UNKNOWN",
        format!("{path} is not served here"),
    )
    .with("method", path)
    .into_status()
}
