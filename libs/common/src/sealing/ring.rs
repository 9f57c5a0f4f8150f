//! The ring of key-encryption keys, and the file that it is read from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use super::aead::{Aad, Aead};
use super::error::SealError;
use crate::config::Reread;
use crate::error::Error;

const KEY_ID_BYTES_MAX: usize = 64;
/// Keys derived by another scheme would have another one.
const SALT: &[u8] = b"asterism sealing 1";

/// Key-encryption keys by their ids.
///
/// Its text has one key a line: an id, a space, and 32 random bytes in base64. The first key is current, the others open
/// what was sealed before. Empty lines and those that begin with `#` mean nothing.
pub struct KeyRing {
    seals: bool,
    current: String,
    keys: BTreeMap<String, Prk>,
}

impl KeyRing {
    /// Reads a ring. What is wrong with it is told by line, without the line's secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut current = None;
        let mut keys = BTreeMap::new();
        let mut seen: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (id, key) = parse_line(text).map_err(|wrong| format!("line {line}: {wrong}"))?;
            if let Some(first) = seen.insert(key, line) {
                return Err(format!(
                    "line {line}: the key of line {first} under another id: make a new one"
                ));
            }
            let key = Salt::new(HKDF_SHA256, SALT).extract(&key);
            if keys.insert(id.to_owned(), key).is_some() {
                return Err(format!(
                    "line {line}: id {id} is given twice: give each key an id of its own"
                ));
            }
            current.get_or_insert(id.to_owned());
        }
        let Some(current) = current else {
            return Err(
                "there is no key in it: write one with `echo \"$(date +%Y-%m-%d) $(openssl rand -base64 32)\"`"
                    .to_owned(),
            );
        };
        Ok(Self {
            seals: true,
            current,
            keys,
        })
    }

    /// The same, for a process that seals nothing yet: it opens what others have sealed.
    #[must_use]
    pub fn to_open(self) -> Self {
        Self {
            seals: false,
            ..self
        }
    }

    /// Whether what is written is to be sealed.
    pub fn seals(&self) -> bool {
        self.seals
    }

    /// The id of the key that new data keys are wrapped under.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// The ids of all keys, in their order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// A key for one purpose, of which nobody else has the same.
    pub(super) fn derive(&self, key_id: &str, purpose: &Aad) -> Result<Aead, SealError> {
        let key = self.keys.get(key_id).ok_or_else(|| SealError::KeyMissing {
            key_id: key_id.to_owned(),
        })?;
        let purpose = [purpose.bytes()];
        let derived = key.expand(&purpose, &AES_256_GCM);
        let derived = derived.expect("HKDF gives as much as a key of AES-256 needs");
        Ok(Aead::new(UnboundKey::from(derived)))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

fn parse_line(text: &str) -> Result<(&str, [u8; 32]), String> {
    // Where the space is missing the id would be the secret: it is not quoted before it is known to be none.
    let Some((id, key)) = text.split_once(char::is_whitespace) else {
        return Err("must be an id, a space and a key".to_owned());
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.len() > KEY_ID_BYTES_MAX || !id.bytes().all(allowed) {
        return Err(format!(
            "the id must be of at most {KEY_ID_BYTES_MAX} letters, digits, dashes, underlines and points"
        ));
    }
    let key = BASE64_STANDARD.decode(key.trim()).ok();
    let key: Option<[u8; 32]> = key.and_then(|key| key.try_into().ok());
    match key {
        Some(key) => Ok((id, key)),
        None => Err(format!(
            "the key {id} must be 32 bytes in base64, as `openssl rand -base64 32` writes them"
        )),
    }
}

/// The ring of a file, read again when it is replaced.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Reread<Arc<KeyRing>>>);

impl Keys {
    /// Opens a file. A later one that cannot be used leaves the keys of before in use.
    pub fn file(purpose: &'static str, path: PathBuf) -> Result<Self, Error> {
        Self::of(purpose, path, |ring| ring)
    }

    /// The same to open only.
    pub fn file_to_open(purpose: &'static str, path: PathBuf) -> Result<Self, Error> {
        Self::of(purpose, path, KeyRing::to_open)
    }

    fn of(
        purpose: &'static str,
        path: PathBuf,
        then: fn(KeyRing) -> KeyRing,
    ) -> Result<Self, Error> {
        let parse = move |text: &str| {
            let ring = KeyRing::parse(text).map(then).map(Arc::new);
            ring.map_err(|wrong| format!("encryption keys: {wrong}"))
        };
        Ok(Self(Arc::new(Reread::open(purpose, path, parse)?)))
    }

    /// The keys of now.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.0.get()
    }
}
