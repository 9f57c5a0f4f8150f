//! What is sealed: canonical bytes of postings, the chain through them, and blocks.
//!
//! Canonical bytes are a list of named values in a fixed order, every name and value behind its length, absent
//! values left out. A field that the ledger gains later is absent from older postings, whose bytes stay the same.

use sha2::{Digest as _, Sha256};

use super::merkle::{Hash, Tree, leaf_hash};

/// Postings in a block, at most.
pub const POSTINGS_PER_BLOCK_MAX: i64 = 1000;

const POSTING: &str = "asterism.loyalty.posting.v1";
const LINK: &str = "asterism.loyalty.link.v1";
const BLOCK: &str = "asterism.loyalty.block.v1";

/// Named values, one after the other, each behind its length.
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Bytes of one kind are never those of another.
    pub fn of(kind: &str) -> Self {
        let mut canonical = Self { bytes: Vec::new() };
        canonical.append(kind.as_bytes());
        canonical
    }

    /// The bytes of a posting, still without its fields.
    pub fn posting() -> Self {
        Self::of(POSTING)
    }

    /// A text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.value(name, value.as_bytes())
    }

    /// A text, if there is one.
    #[must_use]
    pub fn text_if_any(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// A number.
    #[must_use]
    pub fn number(self, name: &str, value: i64) -> Self {
        self.value(name, &value.to_be_bytes())
    }

    /// Any bytes.
    #[must_use]
    pub fn value(mut self, name: &str, value: &[u8]) -> Self {
        self.append(name.as_bytes());
        self.append(value);
        self
    }

    /// All of them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

/// A value out of canonical bytes; `None` if they have none of that name, or are not canonical.
pub fn field<'a>(canonical: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (_, mut rest) = take(canonical)?;
    while !rest.is_empty() {
        let (found, after) = take(rest)?;
        let (value, after) = take(after)?;
        if found == name.as_bytes() {
            return Some(value);
        }
        rest = after;
    }
    None
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// A block of sealed postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// From 0.
    pub number: u64,
    /// Sequence number of its first posting.
    pub first_sequence: u64,
    /// How many postings.
    pub postings: u64,
    /// Hash of the block before.
    pub previous: Hash,
    /// Merkle root of its leaves.
    pub root: Hash,
    /// The chain of postings after its last one.
    pub link: Hash,
}

impl Block {
    /// The block that follows another.
    pub fn after(before: Option<&Self>, leaves: &[Hash]) -> Self {
        let start = before.map_or(Hash::ZERO, |before| before.link);
        Self {
            number: before.map_or(0, |before| before.number + 1),
            first_sequence: before.map_or(1, |before| before.first_sequence + before.postings),
            postings: leaves.len() as u64,
            previous: before.map_or(Hash::ZERO, Self::hash),
            root: Tree::of(leaves.to_vec()).root(),
            link: leaves.iter().fold(start, |link, leaf| next(link, *leaf)),
        }
    }

    /// Its hash: that of a leaf in the tree of blocks.
    pub fn hash(&self) -> Hash {
        let canonical = Canonical::of(BLOCK)
            .value("block", &self.number.to_be_bytes())
            .value("first_sequence", &self.first_sequence.to_be_bytes())
            .value("postings", &self.postings.to_be_bytes())
            .value("previous", &self.previous.0)
            .value("root", &self.root.0)
            .value("link", &self.link.0);
        leaf_hash(&canonical.into_bytes())
    }
}

fn next(link: Hash, leaf: Hash) -> Hash {
    let canonical = Canonical::of(LINK)
        .value("previous", &link.0)
        .value("leaf", &leaf.0);
    Hash(Sha256::digest(canonical.into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Field = (String, String);

    fn bytes(fields: &[Field]) -> Vec<u8> {
        let add = |canonical: Canonical, (name, value): &Field| canonical.text(name, value);
        fields.iter().fold(Canonical::posting(), add).into_bytes()
    }

    proptest! {
        #[test]
        fn different_fields_have_different_bytes(
            left in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
            right in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
        ) {
            prop_assert_eq!(left == right, bytes(&left) == bytes(&right));
        }
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let bytes = Canonical::posting()
            .text("a", "b")
            .number("b", 7)
            .into_bytes();
        assert_eq!(field(&bytes, "a"), Some(&b"b"[..]));
        assert_eq!(field(&bytes, "b"), Some(&7_i64.to_be_bytes()[..]));
        assert_eq!(field(&bytes, "c"), None);
        assert_eq!(field(&bytes[..bytes.len() - 1], "b"), None);
        assert_eq!(field(&[], "a"), None);
    }

    #[test]
    fn blocks_follow_each_other() {
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
        let first = Block::after(None, &leaves[..2]);
        let second = Block::after(Some(&first), &leaves[2..]);
        assert_eq!((first.number, first.first_sequence), (0, 1));
        assert_eq!((second.number, second.first_sequence), (1, 3));
        assert_eq!(second.previous, first.hash());
        assert_ne!(second.root, second.link);
    }

    #[test]
    fn the_chain_is_the_same_however_it_is_cut_into_blocks() {
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
        let whole = Block::after(None, &leaves);
        let first = Block::after(None, &leaves[..1]);
        assert_eq!(Block::after(Some(&first), &leaves[1..]).link, whole.link);
        let swapped = [leaves[1], leaves[0], leaves[2]];
        assert_ne!(Block::after(None, &swapped).link, whole.link);
    }
}
