//! Making a ring, for whoever runs the suite without one.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::aead::random;
use crate::config::write_secret;
use crate::error::Error;

/// Writes a ring of one new key, readable for nobody else, whole or not at all.
pub fn make_file(file: &Path, key_id: &str) -> Result<(), Error> {
    let key = BASE64_STANDARD.encode(random::<32>()?);
    write_secret(file, &format!("{key_id} {key}\n"))
        .map_err(|error| Error::Config(format!("the encryption keys {}: {error}", file.display())))
}
