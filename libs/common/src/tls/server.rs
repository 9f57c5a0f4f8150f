//! What the API port shows to callers, and what it wants to see of them.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::{H2, Pair, authorities, provider};
use crate::config::{Reread, TlsConfig};
use crate::error::Error;
use crate::telemetry::metrics;

/// The TLS settings of the API port as its files have them.
#[derive(Debug)]
pub(crate) struct ServerTls(Reread<Arc<ServerConfig>>);

impl ServerTls {
    /// Reads the files; `None` where the port speaks plaintext.
    pub fn open(config: &TlsConfig) -> Result<Option<Self>, Error> {
        let (certificate, key) = match (&config.certificate_file, &config.key_file) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) if config.client_ca_file.is_none() => return Ok(None),
            _ => {
                return Err(Error::Config(
                    "TLS needs both --tls-certificate-file and --tls-key-file".to_owned(),
                ));
            }
        };
        let mut files = vec![certificate, key];
        files.extend(config.client_ca_file.clone());
        Reread::open_all("tls", files, |texts| {
            parse(&texts[0], &texts[1], texts.get(2).map(String::as_str))
        })
        .map(|current| Some(Self(current)))
    }

    /// For the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.get()
    }
}

fn parse(
    certificate: &str,
    key: &str,
    client_ca: Option<&str>,
) -> Result<Arc<ServerConfig>, String> {
    let pair = Pair::parse(certificate, key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authorities(pem)?, provider())
                    .build()
                    .map_err(|error| format!("authorities of callers: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    // Refuses a key that is not the certificate's.
    let mut config = builder
        .with_single_cert(pair.chain, pair.key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![H2.to_vec()];
    metrics::certificate_expires("server", pair.expires);
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::issued::{self, Pair};

    #[test]
    fn a_broken_pair_leaves_the_old_one_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        Pair::until(2100).write(folder);
        let tls = ServerTls::open(&issued::config(folder)).unwrap().unwrap();
        let first = tls.current();
        let still = || Arc::ptr_eq(&first, &tls.0.get_later());
        assert!(still(), "nothing has changed");
        let next = Pair::until(2101);
        fs::write(folder.join("crt"), &next.certificate).unwrap();
        assert!(still(), "its key is not there yet");
        Pair::until(2020).write(folder);
        assert!(still(), "it is over");
        fs::remove_file(folder.join("key")).unwrap();
        assert!(still(), "the key is gone");
        next.write(folder);
        assert!(!still(), "a good pair is used");
        let text = metrics::text();
        let series = "asterism_tls_certificate_expiry{side=\"server\"";
        assert!(text.contains(series), "{text}");
    }
}
