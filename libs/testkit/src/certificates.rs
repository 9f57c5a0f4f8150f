//! Certificates of no value outside of the tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};

/// Issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new authority; its name tells it from others.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, new_key());
        Self(issuer.expect("an authority can sign itself"))
    }

    /// Its own certificate, for those who believe it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for names: URIs have a scheme, the others are hosts or addresses.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&with_names(names))
    }

    /// A certificate that is over.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = with_names(names);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// A certificate with nothing but a common name, as old authorities make them.
    #[must_use]
    pub fn issue_common_name(&self, name: &str) -> Issued {
        self.sign(&named(name))
    }

    fn sign(&self, params: &CertificateParams) -> Issued {
        let key = new_key();
        let certificate = params.signed_by(&key, &self.0);
        Issued {
            certificate: certificate.expect("an authority can sign").pem(),
            key: key.serialize_pem(),
        }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("keys can be made")
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn with_names(names: &[&str]) -> CertificateParams {
    let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
    let hosts: Vec<_> = hosts.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(hosts).expect("hosts are plain");
    for uri in uris {
        let uri = uri.try_into().expect("URIs are ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
    }
    params
        .distinguished_name
        .push(DnType::CommonName, "never looked at");
    params
}
