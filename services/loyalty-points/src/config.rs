//! The settings of this service. Everything that a program decides is data, not configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Error;
use common::cache::Options;
use common::config::{Secret, defaults, duration, write_secret};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use crate::audit::signer::Signer;
use crate::domain::signing::SigningKey;

/// Settings of the loyalty service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "loyalty-points")]
#[command(next_help_heading = "Points ledger")]
pub struct Config {
    /// Postings that are committed together at most; 1 commits each by itself.
    #[arg(
        long,
        env = "ASTERISM_POSTING_BATCH_MAX",
        default_value_t = POSTING_BATCH_MAX,
        value_parser = clap::value_parser!(u16).range(1..=4096)
    )]
    pub posting_batch_max: u16,
    /// Tiers kept in the memory of this process, some 0.5 KiB each; 0 keeps none and asks Redis, or without it
    /// the database, each time.
    #[arg(long, env = "ASTERISM_TIERS_IN_MEMORY_MAX", default_value_t = Options::default().l1_capacity)]
    pub tiers_in_memory_max: usize,
    /// Holds that timed out and points that expired are posted, and notices of expiry told, this often; 0s leaves
    /// that to the members' next calls and to the RPC `SweepExpiry`.
    #[arg(
        long = "loyalty-sweep-every",
        env = "ASTERISM_LOYALTY_SWEEP_EVERY",
        value_parser = duration,
        default_value = "5m"
    )]
    pub sweep_every: Duration,
    /// Ed25519 key that heads of the ledger are signed with, PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519`
    /// writes it. Without a key heads are not signed.
    #[arg(
        long = "loyalty-signing-key",
        env = "ASTERISM_LOYALTY_SIGNING_KEY",
        hide_env_values = true
    )]
    #[arg(conflicts_with = "signing_key_file")]
    pub signing_key: Option<Secret>,
    /// File that holds the signing key; read again when it is replaced. The all-in-one makes one in its data folder if
    /// none is given.
    #[arg(
        long = "loyalty-signing-key-file",
        env = "ASTERISM_LOYALTY_SIGNING_KEY_FILE",
        value_name = "FILE"
    )]
    pub signing_key_file: Option<PathBuf>,
}

const POSTING_BATCH_MAX: u16 = 512;

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}

impl Config {
    /// Signs with the key from wherever it was given.
    pub(crate) fn signer(&self) -> Result<Signer, Error> {
        match (&self.signing_key, &self.signing_key_file) {
            (Some(pem), _) => Signer::given(pem),
            (None, Some(file)) => Signer::file(file.clone()),
            (None, None) => Ok(Signer::none()),
        }
    }

    /// The same with a signing key, if none is given: one in this folder, made at the first start. It lies beside
    /// the database, not in it: who gets hold of the database alone cannot sign.
    pub fn with_key_in(&self, folder: &Path) -> Result<Self, Error> {
        if self.signing_key.is_some() || self.signing_key_file.is_some() {
            return Ok(self.clone());
        }
        let file = folder.join("loyalty-signing-key.pem");
        if !file.exists() {
            make_key(&file)?;
        }
        Ok(Self {
            signing_key_file: Some(file),
            ..self.clone()
        })
    }
}

/// Writes a new key, readable for nobody else, whole or not at all.
fn make_key(file: &Path) -> Result<(), Error> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let key = key.map_err(|_| Error::Internal("no randomness for a signing key".to_owned()))?;
    write_secret(file, &SigningKey::to_pem(key.as_ref())).map_err(|error| broken(file, &error))
}

fn broken(file: &Path, error: &std::io::Error) -> Error {
    Error::Config(format!("the signing key {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_to_oneself() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default().with_key_in(folder.path()).unwrap();
        let first = config.signer().unwrap().public().unwrap();
        let again = Config::default().with_key_in(folder.path()).unwrap();
        assert_eq!(again.signer().unwrap().public().unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let file = config.signing_key_file.as_ref().unwrap();
            let mode = std::fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let pem = std::fs::read_to_string(config.signing_key_file.unwrap()).unwrap();
        let given = Config {
            signing_key: Some(Secret::from(pem.clone())),
            ..Config::default()
        };
        let kept = given.with_key_in(Path::new("nowhere")).unwrap();
        assert_eq!(kept.signer().unwrap().public().unwrap(), first);
        let secret = pem.lines().nth(1).unwrap();
        assert!(!format!("{kept:?}").contains(secret));
    }

    #[test]
    fn no_key_is_fine_and_a_wrong_one_is_not() {
        assert!(Config::default().signer().unwrap().public().is_none());
        let wrong = Config {
            signing_key: Some(Secret::from("hunter2".to_owned())),
            ..Config::default()
        };
        let error = wrong.signer().unwrap_err().to_string();
        assert!(
            error.contains("signing key") && !error.contains("hunter2"),
            "{error}"
        );
        let missing = Config {
            signing_key_file: Some(PathBuf::from("nowhere/key.pem")),
            ..Config::default()
        };
        let error = missing.signer().unwrap_err().to_string();
        assert!(error.contains("nowhere/key.pem"), "{error}");
        Config::default()
            .with_key_in(Path::new("nowhere"))
            .unwrap_err();
    }
}
