use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// The definition of RFC 6962, word for word.
fn by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(by_definition(left), by_definition(right))
        }
    }
}

fn proof(place: Place, head: Place) -> Proof {
    let within = Tree::of(leaves(place.size));
    let mut block = Block {
        number: head.index,
        first_sequence: 1001,
        postings: place.size,
        previous: Hash::ZERO,
        root: within.root(),
        link: Hash::ZERO,
    };
    block.previous = leaf_hash(b"before");
    let mut hashes = leaves(head.size);
    hashes[usize::try_from(head.index).unwrap()] = block.hash();
    let among = Tree::of(hashes);
    Proof {
        leaf: place.index.to_be_bytes().to_vec(),
        sequence: 1001 + place.index,
        leaf_path: within.path(place.index),
        block,
        block_path: among.path(head.index),
        head_blocks: head.size,
        head_root: among.root(),
    }
}

fn place(max: u64) -> impl Strategy<Value = Place> {
    (1..=max).prop_flat_map(|size| (0..size).prop_map(move |index| Place { index, size }))
}

proptest! {
    #[test]
    fn a_root_is_that_of_the_definition(size in 0_u64..70) {
        let leaves = leaves(size);
        prop_assert_eq!(Tree::of(leaves.clone()).root(), by_definition(&leaves));
    }

    #[test]
    fn growing_leaf_by_leaf_gives_the_same_root(size in 1_u64..70) {
        let leaves = leaves(size);
        let mut stored = BTreeMap::new();
        for (index, leaf) in (0..).zip(&leaves) {
            let made = completed(index, *leaf, |node| stored.get(&node).copied()).unwrap();
            stored.extend(made);
        }
        let root = bag(peaks(size).into_iter().map(|node| stored[&node]));
        prop_assert_eq!(root, by_definition(&leaves));
    }

    #[test]
    fn every_posting_has_a_proof(within in place(40), among in place(40)) {
        prop_assert_eq!(verify(&proof(within, among)), Ok(()));
    }

    #[test]
    fn a_proof_with_any_bit_changed_proves_nothing(
        within in place(40),
        among in place(40),
        byte in 0_usize..32,
        at in 0_usize..100,
    ) {
        let whole = proof(within, among);
        let flip = |hash: &mut Hash| hash.0[byte] ^= 1;
        let mut forged = vec![whole.clone(); 9];
        forged[0].leaf[byte % 8] ^= 1;
        flip(&mut forged[1].block.root);
        flip(&mut forged[2].block.previous);
        flip(&mut forged[3].block.link);
        flip(&mut forged[4].head_root);
        forged[5].sequence += 1;
        forged[6].leaf_path.push(Hash::ZERO);
        forged[7].block_path.push(Hash::ZERO);
        forged[8].block.number += 1;
        let paths: [fn(&mut Proof) -> &mut Vec<Hash>; 2] =
            [|proof| &mut proof.leaf_path, |proof| &mut proof.block_path];
        for path in paths {
            let mut changed = whole.clone();
            let hashes = path(&mut changed);
            if !hashes.is_empty() {
                let at = at % hashes.len();
                flip(&mut hashes[at]);
                forged.push(changed.clone());
                path(&mut changed).pop();
                forged.push(changed);
            }
        }
        for forged in forged {
            prop_assert!(verify(&forged).is_err(), "{:?}", forged);
        }
    }
}
