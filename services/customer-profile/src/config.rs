//! Settings of this service: sizes and limits are part of the contract in `proto/`, keys are not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Error;
use common::config::{defaults, duration};
use common::sealing::{Keys, make_file};

/// Settings of the customer service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "customer-profile")]
#[command(next_help_heading = "Customers")]
pub struct Config {
    /// File of the keys that personal data is sealed under, one a line: an id, a space, 32 bytes in base64. The first is
    /// current, the others open what was sealed before. Read again when it is replaced. `echo "$(date +%Y-%m-%d)
    /// $(openssl rand -base64 32)"` writes a line. Needed; the all-in-one makes one in its data folder if none is given.
    #[arg(
        long = "customer-encryption-keys-file",
        env = "ASTERISM_CUSTOMER_ENCRYPTION_KEYS_FILE",
        value_name = "FILE"
    )]
    pub encryption_keys_file: Option<PathBuf>,
    /// `later` reads what is sealed and seals nothing: for an upgrade from a version that cannot read what is sealed, while
    /// it still runs.
    #[arg(
        long = "customer-sealing",
        env = "ASTERISM_CUSTOMER_SEALING",
        value_enum,
        default_value = "now"
    )]
    pub sealing: Sealing,
    /// What an older version wrote in the clear is sealed, and what is sealed under an older key brought under the current
    /// one, this often; 0s leaves both undone.
    #[arg(
        long = "customer-sealing-every",
        env = "ASTERISM_CUSTOMER_SEALING_EVERY",
        value_parser = duration,
        default_value = "5m"
    )]
    pub sealing_every: Duration,
}

/// From when on personal data is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sealing {
    /// What is written is sealed.
    Now,
    /// What is written stays in the clear.
    Later,
}

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}

impl Config {
    /// The keys of the file.
    pub(crate) fn keys(&self) -> Result<Keys, Error> {
        const PURPOSE: &str = "customer-encryption-keys";
        match &self.encryption_keys_file {
            Some(file) => match self.sealing {
                Sealing::Now => Keys::file(PURPOSE, file.clone()),
                Sealing::Later => Keys::file_to_open(PURPOSE, file.clone()),
            },
            None => Err(Error::Config(
                "the keys that personal data is sealed under are missing: write one by `echo \"$(date +%Y-%m-%d) \
                 $(openssl rand -base64 32)\" >customer-encryption-keys`, keep a copy apart from the database, and set \
                 --customer-encryption-keys-file"
                    .to_owned(),
            )),
        }
    }

    /// The same with a file of keys, if none is given: one in this folder, made at the first start. It lies beside the
    /// database, not in it: who gets hold of the database alone reads no personal data.
    pub(crate) fn with_keys_in(&self, folder: &Path) -> Result<Self, Error> {
        if self.encryption_keys_file.is_some() {
            return Ok(self.clone());
        }
        let file = folder.join("customer-encryption-keys");
        if !file.exists() {
            make_file(&file, "first")?;
        }
        Ok(Self {
            encryption_keys_file: Some(file),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_those_given_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default().with_keys_in(folder.path()).unwrap();
        let file = config.encryption_keys_file.clone().unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(config.keys().unwrap().ring().current(), "first");
        let again = Config::default().with_keys_in(folder.path()).unwrap();
        assert_eq!(again.encryption_keys_file.as_ref(), Some(&file));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        let kept = config.with_keys_in(Path::new("nowhere")).unwrap();
        assert_eq!(kept.encryption_keys_file, Some(file));
        Config::default()
            .with_keys_in(Path::new("nowhere"))
            .unwrap_err();
    }

    #[test]
    fn without_keys_nothing_starts() {
        let error = Config::default().keys().unwrap_err().to_string();
        assert!(error.contains("openssl rand -base64 32"), "{error}");
    }
}
