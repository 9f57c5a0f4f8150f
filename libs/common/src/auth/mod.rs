//! Who calls: bearer tokens (JWT) checked against keys from a file, and what certificates stand for.

mod certificates;
mod keys;
mod memory;
mod rejection;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, get_current_timestamp};
use serde::Deserialize;

pub(crate) use certificates::CertificateScopes;
pub use rejection::Rejection;

use crate::config::{AuthConfig, Reread};
use crate::error::Error;
use crate::identity::Identity;
use keys::Keys;
use memory::Memory;

/// Longest token that is looked at. Verifying costs time that strangers must not be able to spend.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Checks tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Reread<Arc<Keys>>,
    issuer: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    verified: Memory,
}

/// The claims that matter here; issuer, audience and times are checked while decoding.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    /// Scopes separated by spaces (RFC 8693, 4.2).
    #[serde(default)]
    scope: String,
    /// Scopes as a list, as some issuers write them.
    #[serde(default)]
    scp: Vec<String>,
}

impl Authenticator {
    /// As configured; `None` where nobody has to prove who they are.
    pub fn from_config(config: &AuthConfig) -> Result<Option<Self>, Error> {
        let Some(file) = &config.jwks_file else {
            return Ok(None);
        };
        let (Some(issuer), Some(audience)) = (&config.issuer, &config.audience) else {
            let missing = "--auth-jwks-file needs --auth-issuer and --auth-audience";
            return Err(Error::Config(missing.to_owned()));
        };
        Ok(Some(Self(Arc::new(Inner {
            keys: Reread::open("jwks", file.clone(), Keys::parse)?,
            issuer: issuer.clone(),
            audience: audience.clone(),
            algorithms: config.algorithms.clone(),
            verified: Memory::default(),
        }))))
    }

    /// Who the bearer of this token is.
    pub fn verify(&self, token: &str) -> Result<Identity, Rejection> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejection::Malformed);
        }
        let keys = self.0.keys.get();
        if let Some(identity) = self.0.verified.find(token, &keys) {
            return Ok(identity);
        }
        let header = decode_header(token).map_err(|_| Rejection::Malformed)?;
        if !self.0.algorithms.contains(&header.alg) {
            return Err(Rejection::Algorithm);
        }
        let mut rejection = Rejection::UnknownKey;
        for key in keys.matching(header.kid.as_deref(), header.alg) {
            match decode::<Claims>(token, &key.verifier, &self.validation(key.algorithm)) {
                Ok(decoded) => {
                    let left = decoded.claims.exp.saturating_sub(get_current_timestamp());
                    let identity = identity(decoded.claims);
                    let left = Duration::from_secs(left);
                    self.0.verified.insert(token, &keys, identity.clone(), left);
                    return Ok(identity);
                }
                Err(error) => rejection = Rejection::from(error.kind()),
            }
        }
        Err(rejection)
    }

    /// Accepts the key's own algorithm only: a public RSA key must never serve as an HMAC secret.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = 30;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_audience(&[&self.0.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }
}

fn identity(claims: Claims) -> Identity {
    let listed = claims.scope.split_whitespace().map(str::to_owned);
    let scopes: BTreeSet<String> = listed.chain(claims.scp).collect();
    Identity::new(&claims.sub, scopes)
}
