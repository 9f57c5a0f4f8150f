//! Making a ring, for whoever runs the suite without one.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::aead::random;
use crate::error::Error;

/// Writes a ring of one new key, readable for nobody else, whole or not at all.
pub fn make_file(file: &Path, key_id: &str) -> Result<(), Error> {
    let key = BASE64_STANDARD.encode(random::<32>()?);
    let part = file.with_extension("part");
    let written = || {
        let _ = std::fs::remove_file(&part);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&part)?;
        writeln!(out, "{key_id} {key}")?;
        out.sync_all()?;
        std::fs::rename(&part, file)
    };
    written()
        .map_err(|error| Error::Config(format!("the encryption keys {}: {error}", file.display())))
}
