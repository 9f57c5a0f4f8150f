//! Consistency proofs as RFC 6962 has them: that a tree is what an earlier one has grown into.

use super::merkle::{Hash, Node, node_hash, peaks_of, split};

/// A tree, as far as heads tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// The subtrees that prove it, each as the complete subtrees it consists of. `first` is at least 1 and at most
/// `second`.
pub fn beside(first: u64, second: u64) -> Vec<Vec<Node>> {
    let (mut from, mut to, mut size) = (0, second, first);
    let (mut found, mut is_first) = (Vec::new(), true);
    while size < to - from {
        let middle = from + split(to - from);
        if from + size <= middle {
            found.push(peaks_of(middle, to));
            to = middle;
        } else {
            found.push(peaks_of(from, middle));
            size -= middle - from;
            from = middle;
            is_first = false;
        }
    }
    // Whoever checks knows the first tree itself.
    if !is_first {
        found.push(peaks_of(from, to));
    }
    found.reverse();
    found
}

/// Whether a path proves that the second tree has the first one as its beginning. Roots do not tell sizes: those are
/// taken as told, which is what heads are signed for.
pub fn verify(first: Tree, second: Tree, path: &[Hash]) -> Result<(), &'static str> {
    if first.size == 0 || first.size > second.size {
        return Err("the first head is not before the second one");
    }
    if first.size == second.size {
        return if first.root == second.root && path.is_empty() {
            Ok(())
        } else {
            Err("heads of one size are different")
        };
    }
    let broken = Err("the second head is not what the first one has grown into");
    let (mut index, mut last) = (first.size - 1, second.size - 1);
    while index % 2 == 1 {
        (index, last) = (index / 2, last / 2);
    }
    let mut path = path.iter().copied();
    let start = if first.size.is_power_of_two() {
        Some(first.root)
    } else {
        path.next()
    };
    let Some(start) = start else {
        return broken;
    };
    let (mut before, mut after) = (start, start);
    for sibling in path {
        if last == 0 {
            return broken;
        }
        if index % 2 == 1 || index == last {
            before = node_hash(sibling, before);
            after = node_hash(sibling, after);
            // A subtree at the right edge has no sibling on the levels that are incomplete there.
            while index % 2 == 0 && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            after = node_hash(after, sibling);
        }
        (index, last) = (index / 2, last / 2);
    }
    if last == 0 && before == first.root && after == second.root {
        Ok(())
    } else {
        broken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::merkle::{bag, leaf_hash};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// The root straight from its definition.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => unreachable!("no tree is empty here"),
            [leaf] => *leaf,
            more => {
                let middle = more.len().next_power_of_two() / 2;
                node_hash(root(&more[..middle]), root(&more[middle..]))
            }
        }
    }

    /// The proof straight from RFC 6962, section 2.1.2.
    fn subproof(first: usize, leaves: &[Hash], is_first: bool) -> Vec<Hash> {
        if first == leaves.len() {
            return if is_first {
                Vec::new()
            } else {
                vec![root(leaves)]
            };
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        if first <= middle {
            let mut path = subproof(first, left, is_first);
            path.push(root(right));
            path
        } else {
            let mut path = subproof(first - middle, right, false);
            path.push(root(left));
            path
        }
    }

    fn path(first: u64, leaves: &[Hash]) -> Vec<Hash> {
        let hash = |node: &Node| {
            let (from, width) = (node.place << node.level, 1 << node.level);
            let from = usize::try_from(from).unwrap();
            root(&leaves[from..from + width])
        };
        let groups = beside(first, leaves.len() as u64);
        groups
            .iter()
            .map(|nodes| bag(nodes.iter().map(hash)))
            .collect()
    }

    fn tree(size: u64) -> Tree {
        let root = root(&leaves(size));
        Tree { size, root }
    }

    #[test]
    fn every_pair_of_sizes_has_the_proof_of_the_definition() {
        for second in 1..=40 {
            let leaves = leaves(second);
            for first in 1..=second {
                let path = path(first, &leaves);
                let count = usize::try_from(first).unwrap();
                assert_eq!(path, subproof(count, &leaves, true), "{first} of {second}");
                assert_eq!(verify(tree(first), tree(second), &path), Ok(()));
            }
        }
    }

    #[test]
    fn no_tree_has_grown_out_of_none_or_a_larger_one() {
        let none = Tree { size: 0, ..tree(3) };
        verify(none, tree(3), &[]).unwrap_err();
        verify(tree(4), tree(3), &[]).unwrap_err();
        verify(tree(3), Tree { size: 3, ..tree(4) }, &[]).unwrap_err();
        verify(tree(3), tree(3), &[leaf_hash(b"more")]).unwrap_err();
        verify(tree(3), tree(5), &[]).unwrap_err();
    }

    proptest! {
        /// A history that differs in one leaf from the one that was seen has no proof, neither its own nor any
        /// with one hash changed, left out or added.
        #[test]
        fn a_rewritten_history_has_no_proof(
            (second, first) in (2_u64..200).prop_flat_map(|second| (Just(second), 1..second)),
            rewritten in any::<prop::sample::Index>(),
            change in any::<prop::sample::Index>(),
            bit in 0_usize..256,
        ) {
            let honest = leaves(second);
            let known = tree(first);
            let mut forged = honest.clone();
            let at = rewritten.index(usize::try_from(first).unwrap());
            forged[at] = leaf_hash(b"forged");
            let forged_second = Tree { size: second, root: root(&forged) };
            prop_assert!(verify(known, forged_second, &path(first, &forged)).is_err());
            prop_assert!(verify(known, forged_second, &path(first, &honest)).is_err());

            let honest_second = tree(second);
            let path = path(first, &honest);
            prop_assert_eq!(verify(known, honest_second, &path), Ok(()));
            let mut flipped = path.clone();
            let place = change.index(path.len());
            flipped[place].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(known, honest_second, &flipped).is_err());
            let mut shorter = path.clone();
            shorter.remove(place);
            prop_assert!(verify(known, honest_second, &shorter).is_err());
            let mut longer = path.clone();
            longer.insert(place, leaf_hash(b"more"));
            prop_assert!(verify(known, honest_second, &longer).is_err());
        }
    }
}
