//! A setting that must not be seen.

use std::convert::Infallible;
use std::fmt;
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
