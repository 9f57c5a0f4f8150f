//! Answers that are kept for whoever repeats a call: each sealed under a key of its own, derived from the ring.

use super::aead::Aad;
use super::error::SealError;
use super::ring::KeyRing;
use super::{Place, VERSION};
use crate::error::Error;

/// No protobuf message begins with it: there is no field 0. So what was stored in the clear is told from what is sealed.
const SEALED: u8 = 0;

impl KeyRing {
    /// Seals a message for its place; the id of its key stands in front.
    pub(crate) fn seal_answer(&self, place: Place<'_>, message: &[u8]) -> Result<Vec<u8>, Error> {
        let key_id = self.current();
        let len = u8::try_from(key_id.len()).expect("a ring takes short ids only");
        let mut sealed = vec![SEALED, VERSION, len];
        sealed.extend(key_id.as_bytes());
        let key = self.derive(key_id, &purpose(place))?;
        key.seal(&aad(place, key_id), message, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what was sealed for a place.
    pub(crate) fn open_answer(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let Some((key_id, sealed)) = split(sealed) else {
            return Err(place.broken());
        };
        let key = self.derive(key_id, &purpose(place))?;
        key.open(&aad(place, key_id), sealed)
            .ok_or_else(|| place.broken())
    }
}

/// Whether stored bytes are a sealed message; otherwise they are a message in the clear.
pub(crate) fn is_sealed_answer(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SEALED)
}

fn split(sealed: &[u8]) -> Option<(&str, &[u8])> {
    let [SEALED, VERSION, len, rest @ ..] = sealed else {
        return None;
    };
    let (key_id, sealed) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(key_id).ok()?, sealed))
}

fn purpose(place: Place<'_>) -> Aad {
    let Place { table, column, row } = place;
    Aad::of(&[
        b"answer",
        table.as_bytes(),
        column.as_bytes(),
        row.as_bytes(),
    ])
}

fn aad(place: Place<'_>, key_id: &str) -> Aad {
    let Place { table, column, row } = place;
    Aad::of(&[
        table.as_bytes(),
        column.as_bytes(),
        row.as_bytes(),
        key_id.as_bytes(),
        &[VERSION],
    ])
}
