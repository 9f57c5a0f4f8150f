//! Who may call.

use std::path::PathBuf;

use jsonwebtoken::Algorithm;

/// How callers prove who they are. Without a key file nobody has to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthConfig {
    /// JSON Web Key Set with the keys that tokens are signed with. It is read again when it changes.
    #[arg(
        long = "auth-jwks-file",
        env = "ASTERISM_AUTH_JWKS_FILE",
        value_name = "FILE"
    )]
    #[arg(requires_all = ["issuer", "audience"])]
    pub jwks_file: Option<PathBuf>,
    /// Tokens must come from this issuer (`iss`).
    #[arg(
        long = "auth-issuer",
        env = "ASTERISM_AUTH_ISSUER",
        requires = "jwks_file"
    )]
    pub issuer: Option<String>,
    /// Tokens must be meant for this audience (`aud`).
    #[arg(
        long = "auth-audience",
        env = "ASTERISM_AUTH_AUDIENCE",
        requires = "jwks_file"
    )]
    pub audience: Option<String>,
    /// Signature algorithms that are accepted.
    #[arg(
        long = "auth-algorithms",
        env = "ASTERISM_AUTH_ALGORITHMS",
        value_delimiter = ','
    )]
    #[arg(value_parser = algorithm, default_value = "RS256,EdDSA,HS256")]
    pub algorithms: Vec<Algorithm>,
}

impl AuthConfig {
    /// Whether callers have to prove who they are.
    pub fn is_enabled(&self) -> bool {
        self.jwks_file.is_some()
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        super::defaults()
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    match text {
        "HS256" => Ok(Algorithm::HS256),
        "RS256" => Ok(Algorithm::RS256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        _ => Err(format!(
            "{text:?} is not supported: use HS256, RS256 or EdDSA"
        )),
    }
}
