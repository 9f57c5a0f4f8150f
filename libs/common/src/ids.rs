//! Identifiers: the ones we make, and the customer's.

use std::fmt;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use serde::Deserialize;

use crate::time::Clock;

/// Makes UUIDv7 and random bytes from an injected clock and generator.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    rng: Arc<Mutex<StdRng>>,
}

impl Ids {
    /// Seeded by the operating system.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            rng: Arc::new(Mutex::new(StdRng::from_os_rng())),
        }
    }

    /// Seeded by the caller, so that a run can be repeated.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            clock,
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// A new UUIDv7 in its canonical text form.
    pub fn uuid(&self) -> String {
        let millis = u64::try_from(self.clock.now().micros() / 1_000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random_bytes())
            .into_uuid()
            .to_string()
    }

    /// Cryptographically strong random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng
            .lock()
            .expect("filling bytes does not panic")
            .fill_bytes(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

/// A customer's identifier: 1 to 64 characters of `[A-Za-z0-9._~-]`. Databases are believed about what they hold; what
/// callers send goes through [`CustomerId::parse`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, Deserialize)]
#[sqlx(transparent)]
pub struct CustomerId(String);

impl CustomerId {
    /// Checks the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ -".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CustomerId> for String {
    fn from(id: CustomerId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customer_ids_outside_the_alphabet_are_refused() {
        for bad in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(CustomerId::parse(bad).is_err(), "{bad}");
        }
        for good in ["1", "A.b_c~d-9", &"x".repeat(64)] {
            assert_eq!(CustomerId::parse(good).unwrap().as_str(), good);
        }
    }
}
