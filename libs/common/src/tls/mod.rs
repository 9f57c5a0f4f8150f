//! TLS of the API port and of calls to other services: rustls, with *ring* alone.
//!
//! Files are rotated while we run ([`Reread`](crate::config::Reread)): every new connection uses the pair that is in
//! them then, and connections live for minutes only. A pair that does not fit together is never used.

mod certificate;
mod client;
mod server;

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

pub(crate) use certificate::names;
pub(crate) use client::Connector;
pub(crate) use server::ServerTls;

/// HTTP/2, the only protocol that is spoken.
const H2: &[u8] = b"h2";

/// Named, so that no other one can slip in by a dependency's features.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate with its intermediates, and its key.
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// When the first certificate of the chain expires, in seconds since 1970.
    expires: i64,
}

impl Pair {
    fn parse(certificate: &str, key: &str) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| format!("no private key: {error}"))?;
        let mut expires = i64::MAX;
        for certificate in &chain {
            expires = expires.min(certificate::expiry(certificate)?);
        }
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        if expires <= now {
            return Err("the certificate has expired".to_owned());
        }
        Ok(Self {
            chain,
            key,
            expires,
        })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("no certificate: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(chain)
}

fn authorities(pem: &str) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("no authority: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// Certificates for the unit tests of this crate, which cannot use those of the testkit: that links this crate.
#[cfg(test)]
pub(crate) mod issued {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use crate::config::TlsConfig;

    /// A certificate that signs itself, until the end of a year, and its key.
    pub struct Pair {
        pub certificate: String,
        pub key: String,
    }

    impl Pair {
        pub fn until(year: i32) -> Self {
            let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 12, 31);
            let key = KeyPair::generate().unwrap();
            Self {
                certificate: params.self_signed(&key).unwrap().pem(),
                key: key.serialize_pem(),
            }
        }

        pub fn write(&self, folder: &Path) {
            std::fs::write(folder.join("crt"), &self.certificate).unwrap();
            std::fs::write(folder.join("key"), &self.key).unwrap();
        }
    }

    /// The settings that name the files of [`Pair::write`].
    pub fn config(folder: &Path) -> TlsConfig {
        TlsConfig {
            certificate_file: Some(folder.join("crt")),
            key_file: Some(folder.join("key")),
            ..TlsConfig::default()
        }
    }
}
