//! AES-256-GCM with a random nonce in front, and what is authenticated besides.

use ring::aead::{
    AES_256_GCM, Aad as RingAad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey,
};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::Error;

/// Bytes that a seal adds.
pub(super) const OVERHEAD: usize = NONCE_LEN + MAX_TAG_LEN;

/// Parts, each after its length: no two lists of parts look the same.
pub(super) struct Aad(Vec<u8>);

impl Aad {
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
        for part in parts {
            let len = u32::try_from(part.len()).expect("names and ids are short");
            bytes.extend(len.to_be_bytes());
            bytes.extend(*part);
        }
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key to seal with.
pub(super) struct Aead(LessSafeKey);

impl Aead {
    pub(super) fn new(key: UnboundKey) -> Self {
        Self(LessSafeKey::new(key))
    }

    pub(super) fn of_bytes(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of AES-256 has 32 bytes");
        Self::new(key)
    }

    /// Appends nonce, ciphertext and tag.
    pub(super) fn seal(&self, aad: &Aad, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let nonce: [u8; NONCE_LEN] = random()?;
        out.extend(nonce);
        let begin = out.len();
        out.extend(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = RingAad::from(aad.bytes());
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, aad, &mut out[begin..]);
        let tag = tag.map_err(|_| Error::Internal("too long to be sealed".to_owned()))?;
        out.extend(tag.as_ref());
        Ok(())
    }

    /// The plain text of nonce, ciphertext and tag; `None` if a bit of them, the key or what is authenticated differs.
    pub(super) fn open(&self, aad: &Aad, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = rest.to_vec();
        let aad = RingAad::from(aad.bytes());
        let len = self.0.open_in_place(nonce, aad, &mut plain).ok()?.len();
        plain.truncate(len);
        Some(plain)
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Internal("the system has no randomness".to_owned()))?;
    Ok(bytes)
}
