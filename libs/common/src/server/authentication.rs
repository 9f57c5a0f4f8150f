//! Layer: who is calling.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::auth::{Authenticator, Rejection};
use crate::identity::{self, Identity};

/// Without an authenticator everybody may do everything; such a server listens on loopback only.
pub(super) async fn layer(
    State(authenticator): State<Option<Authenticator>>,
    request: Request,
    next: Next,
) -> Response {
    match identify(authenticator.as_ref(), request.headers()) {
        Ok(identity) => identity::scope(identity, next.run(request)).await,
        Err(rejection) => rejection.into_status().into_http(),
    }
}

/// Who sends these headers.
pub(super) fn identify(
    authenticator: Option<&Authenticator>,
    headers: &HeaderMap,
) -> Result<Identity, Rejection> {
    match authenticator {
        None => Ok(Identity::unchecked()),
        Some(authenticator) => authenticator.verify(bearer(headers)?),
    }
}

/// The scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Rejection> {
    let value = headers.get(AUTHORIZATION).ok_or(Rejection::Missing)?;
    let value = value.to_str().map_err(|_| Rejection::Malformed)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Rejection::Malformed),
    }
}
