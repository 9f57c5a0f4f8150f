//! Layer: who is calling.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderValue};

use super::connection::Caller;
use crate::auth::{Authenticator, CertificateScopes, Rejection};
use crate::identity::{self, Identity};

/// How callers prove who they are. Cheap to clone.
#[derive(Clone)]
pub(super) struct Callers {
    tokens: Option<Authenticator>,
    certificates: Option<Arc<CertificateScopes>>,
}

impl Callers {
    /// By tokens, by certificates, by either. With neither everybody may do everything; such a server listens on
    /// loopback only.
    pub fn new(tokens: Option<Authenticator>, certificates: Option<CertificateScopes>) -> Self {
        Self {
            tokens,
            certificates: certificates.map(Arc::new),
        }
    }

    /// Who calls, by the headers of a request and what its connection has put beside them.
    ///
    /// A token counts before the certificate: a proxy with one certificate may call for many.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Identity, Rejection> {
        if self.tokens.is_none() && self.certificates.is_none() {
            return Ok(Identity::unchecked());
        }
        match (&self.tokens, headers.get(AUTHORIZATION)) {
            (Some(tokens), Some(value)) => tokens.verify(bearer(value)?),
            (tokens, _) => {
                let names = extensions.get::<Caller>();
                let names = names.map_or(&[][..], |caller| &caller.names);
                let known = self.certificates.as_ref().and_then(|it| it.find(names));
                match known {
                    Some(identity) => Ok(identity),
                    None if tokens.is_some() => Err(Rejection::Missing),
                    // An authority of ours vouches for the name, but nobody gave it a scope.
                    None => Ok(nobody(names)),
                }
            }
        }
    }
}

pub(super) async fn layer(
    State(callers): State<Callers>,
    request: Request,
    next: Next,
) -> Response {
    match callers.identify(request.headers(), request.extensions()) {
        Ok(identity) => identity::scope(identity, next.run(request)).await,
        Err(rejection) => rejection.into_status().into_http(),
    }
}

fn nobody(names: &[String]) -> Identity {
    Identity::new(names.first().map_or("anonymous", String::as_str), [])
}

/// The scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(value: &HeaderValue) -> Result<&str, Rejection> {
    let value = value.to_str().map_err(|_| Rejection::Malformed)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Rejection::Malformed),
    }
}
