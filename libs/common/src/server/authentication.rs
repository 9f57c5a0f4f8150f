//! Layer: who is calling.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;

use crate::auth::{Authenticator, Rejection};
use crate::identity::{self, Identity};

/// Without an authenticator everybody may do everything; such a server listens on loopback only.
pub(super) async fn layer(
    State(authenticator): State<Option<Authenticator>>,
    request: Request,
    next: Next,
) -> Response {
    let identity = match &authenticator {
        None => Ok(Identity::unchecked()),
        Some(authenticator) => bearer(&request).and_then(|token| authenticator.verify(token)),
    };
    match identity {
        Ok(identity) => identity::scope(identity, next.run(request)).await,
        Err(rejection) => rejection.into_status().into_http(),
    }
}

/// The scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(request: &Request) -> Result<&str, Rejection> {
    let value = request
        .headers()
        .get(AUTHORIZATION)
        .ok_or(Rejection::Missing)?;
    let value = value.to_str().map_err(|_| Rejection::Malformed)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Rejection::Malformed),
    }
}
