//! What a request says, field by field, so that a reused key can be told what differs.

use std::collections::BTreeMap;

use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{Message, Name};
use sha2::{Digest as _, Sha256};

const HASH_LEN: usize = 12;

/// A hash of each top-level field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<u32, [u8; HASH_LEN]>);

impl Fingerprint {
    /// Prost writes fields in order and maps sorted, so equal messages have equal bytes.
    pub fn of<M: Message + Name>(message: &M) -> Self {
        let bytes = message.encode_to_vec();
        let mut hashers: BTreeMap<u32, Sha256> = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let before = rest;
            let Some(number) = skip_field(&mut rest) else {
                break;
            };
            let field = &before[..before.len() - rest.len()];
            hashers.entry(number).or_default().update(field);
        }
        let short = |hasher: Sha256| {
            let mut hash = [0; HASH_LEN];
            hash.copy_from_slice(&hasher.finalize()[..HASH_LEN]);
            hash
        };
        Self(
            hashers
                .into_iter()
                .map(|(number, hasher)| (number, short(hasher)))
                .collect(),
        )
    }

    /// As stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(number, hash)| [&number.to_be_bytes()[..], hash].concat())
            .collect()
    }

    /// Reads what was stored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let entry = |chunk: &[u8]| {
            let (number, hash) = chunk.split_at(4);
            let number = u32::from_be_bytes(number.try_into().expect("split at four bytes"));
            (number, hash.try_into().expect("chunks have one length"))
        };
        Self(bytes.chunks_exact(4 + HASH_LEN).map(entry).collect())
    }

    /// Names of the fields in which two requests differ.
    pub fn differing(&self, other: &Self, message: &str) -> Vec<String> {
        let numbers: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        numbers
            .into_iter()
            .filter(|number| self.0.get(number) != other.0.get(number))
            .map(|number| match api::field_name(message, *number) {
                Some(name) => name.to_owned(),
                None => number.to_string(),
            })
            .collect()
    }
}

/// Moves past one field of well-formed bytes and returns its number.
fn skip_field(rest: &mut &[u8]) -> Option<u32> {
    let (number, wire_type) = decode_key(rest).ok()?;
    let len = match wire_type {
        WireType::Varint => {
            decode_varint(rest).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(rest).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    *rest = rest.get(len..)?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::r#type::v1::Money;

    const NAME: &str = "asterism.type.v1.Money";

    #[test]
    fn differing_fields_are_named() {
        let one = Money {
            currency_code: "USD".to_owned(),
            micros: 5,
        };
        let two = Money {
            micros: 6,
            ..one.clone()
        };
        let (one, two) = (Fingerprint::of(&one), Fingerprint::of(&two));
        assert_eq!(one.differing(&two, NAME), ["micros"]);
        assert_eq!(
            one.differing(&Fingerprint::of(&Money::default()), NAME),
            ["currency_code", "micros"]
        );
        assert!(one.differing(&one, NAME).is_empty());
    }

    #[test]
    fn fingerprints_survive_storage() {
        let print = Fingerprint::of(&Money {
            currency_code: "USD".to_owned(),
            micros: -1,
        });
        assert_eq!(Fingerprint::from_bytes(&print.to_bytes()), print);
    }
}
