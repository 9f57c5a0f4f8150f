//! A setting that must not be seen, and a file for one.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

/// A secret setting. `Debug` does not show it; [`Secret::reveal`] marks every place that uses it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Writes a file that nobody else may read, whole or not at all.
pub fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&part)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret: Secret = "postgres://user:hunter2@db/loyalty".parse().unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(secret.reveal().contains("hunter2"));
    }
}
