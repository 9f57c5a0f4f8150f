//! Sealing: what is stored such that the database alone does not tell it.
//!
//! # Keys
//! A file holds a *ring* of key-encryption keys, of which the first is current ([`Keys`]). Each owner of data, a
//! customer say, has a [`DataKey`] of its own, random, stored beside the data, and *wrapped*: sealed itself under a key
//! that HKDF derives from a key-encryption key for just that owner. To rotate, data keys are wrapped again under another
//! key of the ring; what they seal stays as it is. To erase an owner's data for good, its data key is deleted.
//!
//! # Cells
//! All is AES-256-GCM under random nonces. A data key seals the cells of one owner, and a derived key wraps one data key
//! or seals one answer: no key comes near the 2³² seals for which random nonces are good. What is sealed is bound to
//! its [`Place`]: moved to another column, row or owner it does not open. Plain text is padded to steps of 32 bytes: how
//! many of them there are is all that a cell tells.
//!
//! Invariant: neither keys nor plain text show in errors, logs or `Debug`.

mod aead;
mod answer;
mod data_key;
mod error;
mod file;
mod ring;
#[cfg(test)]
mod tests;

pub(crate) use answer::is_sealed_answer;
pub use data_key::{DataKey, Owner, Wrapped};
pub use error::SealError;
pub use file::make_file;
pub use ring::{KeyRing, Keys};

use aead::Aad;

/// The layout of what is sealed, its first byte; a version of keys, too: there is one data key for each owner.
const VERSION: u8 = 1;

/// Where a cell lies.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its table.
    pub table: &'static str,
    /// Its column.
    pub column: &'static str,
    /// The id of its row.
    pub row: &'a str,
}

impl Place<'_> {
    fn aad(&self) -> Aad {
        let Self { table, column, row } = self;
        Aad::of(&[
            table.as_bytes(),
            column.as_bytes(),
            row.as_bytes(),
            &[VERSION],
        ])
    }

    fn broken(&self) -> SealError {
        SealError::Broken {
            table: self.table,
            column: self.column,
            row: self.row.to_owned(),
        }
    }
}
