//! Statements: what they add up to, and the digest by which two of them are compared.
//!
//! Invariant: the bytes under a digest are the same wherever they are made, and different values never have the
//! same bytes.

use sha2::{Digest as _, Sha256};

/// What a member's accounts add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Points in lots and held, less the debt.
    pub points: i64,
    /// Of these, held.
    pub held: i64,
    /// Owed.
    pub debt: i64,
}

/// The canonical bytes of values one after the other, digested as they come: each is written as its length, a
/// colon, itself and a comma.
#[derive(Debug, Clone, Default)]
pub struct Canonical(Sha256);

impl Canonical {
    /// Appends a text; what is absent is the empty one.
    pub fn text(&mut self, text: &str) {
        self.0.update(text.len().to_string());
        self.0.update(":");
        self.0.update(text);
        self.0.update(",");
    }

    /// Appends a number.
    pub fn number(&mut self, number: i64) {
        self.text(&number.to_string());
    }

    /// Appends what accounts add up to.
    pub fn standing(&mut self, standing: Standing) {
        self.number(standing.points);
        self.number(standing.held);
        self.number(standing.debt);
    }

    /// SHA-256 of all that was appended.
    pub fn digest(self) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(texts: &[&str]) -> Vec<u8> {
        let mut canonical = Canonical::default();
        for text in texts {
            canonical.text(text);
        }
        canonical.digest()
    }

    #[test]
    fn values_are_kept_apart() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a", ""]), digest(&["a"]));
        assert_ne!(digest(&["1:a,", ""]), digest(&["", "1:a,"]));
    }

    #[test]
    fn bytes_are_as_documented() {
        let mut canonical = Canonical::default();
        canonical.text("käse");
        canonical.number(-7);
        let expected = Sha256::digest("5:käse,2:-7,").to_vec();
        assert_eq!(canonical.digest(), expected);
    }
}
