//! Tokens as an issuer would sign them, and the key set that servers check them with.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use common::time::{Clock as _, SystemClock};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// `iss` of the tokens.
pub const ISSUER: &str = "https://issuer.test";
/// `aud` of the tokens.
pub const AUDIENCE: &str = "asterism";

const SECRET: &[u8] = b"only the tests of this run know it";

/// Writes the key set file that verifies these tokens.
#[must_use]
pub fn key_set(folder: &Path) -> PathBuf {
    let key = json!({ "kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    let file = folder.join("keys.json");
    std::fs::write(&file, json!({ "keys": [key] }).to_string()).expect("the folder is ours");
    file
}

/// Writes a file with a token that holds these scopes for an hour.
#[must_use]
pub fn token_file<'a>(
    folder: &Path,
    subject: &str,
    scopes: impl IntoIterator<Item = &'a str>,
) -> PathBuf {
    let expires = SystemClock.now() + TimeDelta::hours(1);
    let claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "exp": expires.to_chrono().timestamp(),
        "scope": scopes.into_iter().collect::<Vec<_>>().join(" "),
    });
    let key = EncodingKey::from_secret(SECRET);
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key).expect("claims are JSON");
    let file = folder.join(format!("{subject}.token"));
    std::fs::write(&file, token).expect("the folder is ours");
    file
}

/// Every scope there is.
pub fn all_scopes() -> impl Iterator<Item = &'static str> {
    api::methods().iter().filter_map(|method| method.scope)
}
