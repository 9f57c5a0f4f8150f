//! Merkle trees as RFC 6962 has them: SHA-256, one prefix for leaves and another for what is above.
//!
//! A tree that only grows never changes a subtree that is complete, so those are what is stored. Roots and
//! paths of any size follow from complete subtrees.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::chain::Block;

/// A SHA-256 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first.
    pub const ZERO: Self = Self([0; 32]);

    /// Checks the length.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.try_into().map_err(|_| "must be 32 bytes".to_owned());
        Ok(Self(bytes?))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A complete subtree: the `place`-th of those that span `2^level` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Height above the leaves.
    pub level: u32,
    /// From 0.
    pub place: u64,
}

/// Hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

/// Hash of two subtrees.
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let hasher = Sha256::new().chain_update([1]);
    Hash(
        hasher
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The complete subtrees that a tree of some size consists of, from the left.
pub fn peaks(size: u64) -> Vec<Node> {
    peaks_of(0, size)
}

/// The subtrees beside the way from a leaf up, each as the complete subtrees it consists of.
pub fn siblings(index: u64, size: u64) -> Vec<Vec<Node>> {
    let mut found = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            found.push(peaks_of(middle, to));
            to = middle;
        } else {
            found.push(peaks_of(from, middle));
            from = middle;
        }
    }
    found.reverse();
    found
}

/// The hash of neighbouring complete subtrees, from the left; that of the empty text if there are none.
pub fn bag(hashes: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    hashes
        .rev()
        .reduce(|right, left| node_hash(left, right))
        .unwrap_or_else(|| Hash(Sha256::digest([]).into()))
}

/// The complete subtrees that a new leaf completes, itself first. `find` knows those before it.
pub fn completed(
    index: u64,
    leaf: Hash,
    mut find: impl FnMut(Node) -> Option<Hash>,
) -> Option<Vec<(Node, Hash)>> {
    let mut made = vec![(
        Node {
            level: 0,
            place: index,
        },
        leaf,
    )];
    let (mut node, mut hash) = made[0];
    while node.place % 2 == 1 {
        let left = Node {
            place: node.place - 1,
            ..node
        };
        hash = node_hash(find(left)?, hash);
        node = Node {
            level: node.level + 1,
            place: node.place / 2,
        };
        made.push((node, hash));
    }
    Some(made)
}

/// Every complete subtree over some leaves.
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Over the hashes of leaves.
    pub fn of(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, _) = below.as_chunks();
            let above = pairs.iter().map(|&[left, right]| node_hash(left, right));
            let above = above.collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        self.bag(&peaks(self.levels[0].len() as u64))
    }

    /// The hashes beside the way from a leaf up.
    pub fn path(&self, index: u64) -> Vec<Hash> {
        let siblings = siblings(index, self.levels[0].len() as u64);
        siblings.iter().map(|nodes| self.bag(nodes)).collect()
    }

    fn bag(&self, nodes: &[Node]) -> Hash {
        let hash = |node: &Node| {
            let place = usize::try_from(node.place).expect("the tree is in memory");
            self.levels[node.level as usize][place]
        };
        bag(nodes.iter().map(hash))
    }
}

/// Where a leaf stands in a tree.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// From 0.
    pub index: u64,
    /// Leaves of the tree.
    pub size: u64,
}

/// Climbs from a leaf to the root; `None` if the path does not fit the place.
pub fn climb(leaf: Hash, place: Place, path: &[Hash]) -> Option<Hash> {
    if place.index >= place.size {
        return None;
    }
    let (mut index, mut last) = (place.index, place.size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index % 2 == 1 || index == last {
            hash = node_hash(*sibling, hash);
            // A subtree at the right edge has no sibling on the levels that are incomplete there.
            while index % 2 == 0 && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            hash = node_hash(hash, *sibling);
        }
        (index, last) = (index / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

/// Everything that proves a posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Canonical bytes of the posting.
    pub leaf: Vec<u8>,
    /// Its sequence number.
    pub sequence: u64,
    /// Hashes inside the block.
    pub leaf_path: Vec<Hash>,
    /// The block.
    pub block: Block,
    /// Hashes among the blocks.
    pub block_path: Vec<Hash>,
    /// Blocks in the head.
    pub head_blocks: u64,
    /// The head.
    pub head_root: Hash,
}

/// Whether a proof leads from its leaf to its head. Says where it does not.
pub fn verify(proof: &Proof) -> Result<(), &'static str> {
    let Some(index) = proof.sequence.checked_sub(proof.block.first_sequence) else {
        return Err("the posting is before its block");
    };
    let within = Place {
        index,
        size: proof.block.postings,
    };
    if climb(leaf_hash(&proof.leaf), within, &proof.leaf_path) != Some(proof.block.root) {
        return Err("the posting is not in the block");
    }
    let among = Place {
        index: proof.block.number,
        size: proof.head_blocks,
    };
    if climb(proof.block.hash(), among, &proof.block_path) != Some(proof.head_root) {
        return Err("the block is not in the head");
    }
    Ok(())
}

pub(super) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

pub(super) fn peaks_of(mut from: u64, to: u64) -> Vec<Node> {
    let mut found = Vec::new();
    while from < to {
        // `from` is a multiple of every power of two up to that of what is left.
        let level = (to - from).ilog2();
        found.push(Node {
            level,
            place: from >> level,
        });
        from += 1 << level;
    }
    found
}

#[cfg(test)]
mod tests;
