//! Encryption of the API port, and of calls to other services.

use std::path::PathBuf;

/// The certificate of the API port, and who may connect to it. Without one the port speaks plaintext.
///
/// Every file is PEM and is read again when it changes; new connections use what is new.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    /// Certificate of the API port with its intermediates, in PEM. All files of TLS are read again when they change.
    #[arg(
        long = "tls-certificate-file",
        env = "ASTERISM_TLS_CERTIFICATE_FILE",
        value_name = "FILE",
        requires = "tls_key_file"
    )]
    #[arg(id = "tls_certificate_file")]
    pub certificate_file: Option<PathBuf>,
    /// Private key of the certificate.
    #[arg(
        long = "tls-key-file",
        env = "ASTERISM_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "tls_certificate_file"
    )]
    #[arg(id = "tls_key_file")]
    pub key_file: Option<PathBuf>,
    /// Callers must have a certificate of one of these authorities.
    #[arg(
        long = "tls-client-ca-file",
        env = "ASTERISM_TLS_CLIENT_CA_FILE",
        value_name = "FILE",
        requires = "tls_certificate_file"
    )]
    #[arg(id = "tls_client_ca_file")]
    pub client_ca_file: Option<PathBuf>,
    /// What callers may do without a token: on each line a name from a certificate (URI, DNS name, or where it has
    /// neither its common name) and the scopes it holds. Others may do nothing.
    #[arg(
        long = "tls-client-scopes-file",
        env = "ASTERISM_TLS_CLIENT_SCOPES_FILE",
        value_name = "FILE",
        requires = "tls_client_ca_file"
    )]
    #[arg(id = "tls_client_scopes_file")]
    pub client_scopes_file: Option<PathBuf>,
}

/// How to call the other services: whom to believe, and how to prove who calls.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Other services")]
pub struct PeerAccessConfig {
    /// File with the bearer token to call the other services with. It is read again when it changes.
    #[arg(long, env = "ASTERISM_PEER_TOKEN_FILE", value_name = "FILE")]
    pub peer_token_file: Option<PathBuf>,
    /// Authorities whose certificates the other services must have, in PEM: they are called over TLS then.
    #[arg(long, env = "ASTERISM_PEER_CA_FILE", value_name = "FILE")]
    pub peer_ca_file: Option<PathBuf>,
    /// Certificate to show to the other services.
    #[arg(long, env = "ASTERISM_PEER_CERTIFICATE_FILE", value_name = "FILE")]
    #[arg(requires_all = ["peer_key_file", "peer_ca_file"])]
    pub peer_certificate_file: Option<PathBuf>,
    /// Private key of that certificate.
    #[arg(long, env = "ASTERISM_PEER_KEY_FILE", value_name = "FILE")]
    #[arg(requires = "peer_certificate_file")]
    pub peer_key_file: Option<PathBuf>,
    /// Name that the certificates of the other services must bear, if it is not the host of their address.
    #[arg(long, env = "ASTERISM_PEER_TLS_NAME", requires = "peer_ca_file")]
    pub peer_tls_name: Option<String>,
}
