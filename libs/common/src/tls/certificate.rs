//! What a certificate says.

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// When it expires, in seconds since 1970.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Result<i64, String> {
    let (_, parsed) = parse_x509_certificate(certificate)
        .map_err(|error| format!("not a certificate: {error}"))?;
    Ok(parsed.validity().not_after.timestamp())
}

/// The names that it was issued for: URIs, then DNS names. The common name counts only where there is neither:
/// authorities look at it less closely.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    if let Ok(Some(alternative)) = parsed.subject_alternative_name() {
        for name in &alternative.value.general_names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(host) => hosts.push((*host).to_owned()),
                _ => {}
            }
        }
    }
    uris.append(&mut hosts);
    if uris.is_empty() {
        let common = parsed.subject().iter_common_name();
        uris.extend(common.filter_map(|name| name.as_str().ok().map(str::to_owned)));
    }
    uris
}
