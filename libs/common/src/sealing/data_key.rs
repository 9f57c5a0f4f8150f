//! The key of one owner's data.

use std::fmt;

use super::aead::{Aad, Aead, OVERHEAD, random};
use super::error::SealError;
use super::ring::KeyRing;
use super::{Place, VERSION};
use crate::error::Error;

/// Plain text is as long as a multiple of this, so that a cell does not tell by its length what one word is in it.
const STEP: usize = 32;

/// Whose a data key is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The table of the data keys.
    pub table: &'static str,
    /// The id of the owner, and of the row.
    pub id: &'a str,
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The key-encryption key that it is wrapped under.
    pub key_id: String,
    /// The sealed key.
    pub bytes: Vec<u8>,
}

/// Seals and opens the cells of one owner.
pub struct DataKey {
    bytes: [u8; 32],
    aead: Aead,
}

impl DataKey {
    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self::of(random()?))
    }

    fn of(bytes: [u8; 32]) -> Self {
        let aead = Aead::of_bytes(&bytes);
        Self { bytes, aead }
    }

    /// Seals a text for its place.
    pub fn seal(&self, place: Place<'_>, text: &str) -> Result<Vec<u8>, Error> {
        let padded = pad(text);
        let mut sealed = Vec::with_capacity(1 + OVERHEAD + padded.len());
        sealed.push(VERSION);
        self.aead.seal(&place.aad(), &padded, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what was sealed for a place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, SealError> {
        let opened = match sealed {
            [VERSION, sealed @ ..] => self.aead.open(&place.aad(), sealed),
            _ => None,
        };
        opened.and_then(unpad).ok_or_else(|| place.broken())
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl KeyRing {
    /// Wraps an owner's data key under the current key.
    pub fn wrap(&self, owner: Owner<'_>, key: &DataKey) -> Result<Wrapped, Error> {
        let key_id = self.current();
        let mut bytes = vec![VERSION];
        let wrapping = self.derive(key_id, &owner.purpose())?;
        wrapping.seal(&owner.aad(key_id), &key.bytes, &mut bytes)?;
        Ok(Wrapped {
            key_id: key_id.to_owned(),
            bytes,
        })
    }

    /// Unwraps an owner's data key.
    pub fn unwrap(&self, owner: Owner<'_>, wrapped: &Wrapped) -> Result<DataKey, SealError> {
        let Wrapped { key_id, bytes } = wrapped;
        let wrapping = self.derive(key_id, &owner.purpose())?;
        let opened = match bytes.as_slice() {
            [VERSION, sealed @ ..] => wrapping.open(&owner.aad(key_id), sealed),
            _ => None,
        };
        let key: Option<[u8; 32]> = opened.and_then(|key| key.try_into().ok());
        key.map(DataKey::of)
            .ok_or_else(|| SealError::DataKeyBroken {
                key_id: key_id.clone(),
                table: owner.table,
                row: owner.id.to_owned(),
            })
    }
}

impl Owner<'_> {
    fn purpose(&self) -> Aad {
        Aad::of(&[b"wrap", self.table.as_bytes(), self.id.as_bytes()])
    }

    fn aad(&self, key_id: &str) -> Aad {
        Aad::of(&[
            self.table.as_bytes(),
            b"wrapped_key",
            self.id.as_bytes(),
            key_id.as_bytes(),
            &[VERSION],
        ])
    }
}

/// Ends the text with a mark and zeros.
fn pad(text: &str) -> Vec<u8> {
    let len = (text.len() + 1).next_multiple_of(STEP);
    let mut padded = Vec::with_capacity(len);
    padded.extend(text.as_bytes());
    padded.push(0x80);
    padded.resize(len, 0);
    padded
}

fn unpad(mut padded: Vec<u8>) -> Option<String> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    if padded[end] != 0x80 {
        return None;
    }
    padded.truncate(end);
    String::from_utf8(padded).ok()
}
