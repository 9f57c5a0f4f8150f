//! That a posting is in the ledger of a head.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use loyalty_points::domain::chain::{self, Block};
use loyalty_points::domain::merkle::{self, Hash, Proof};
use serde_json::Value;

use super::json::{bytes, count, hash, head, path};
use super::{Signature, Trust};

/// What was proven.
#[derive(Debug, PartialEq, Eq)]
pub struct Proven {
    customer_id: String,
    posting_id: String,
    points: i64,
    sequence: u64,
    head_blocks: u64,
    head_root: Hash,
    signature: Signature,
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head_root = BASE64_STANDARD.encode(self.head_root.0);
        writeln!(f, "posting     {}", self.posting_id)?;
        writeln!(f, "customer    {}", self.customer_id)?;
        writeln!(f, "points      {}", self.points)?;
        writeln!(f, "sequence    {}", self.sequence)?;
        writeln!(f, "head blocks {}", self.head_blocks)?;
        writeln!(f, "head root   {head_root}")?;
        writeln!(f, "signature   {}", self.signature)?;
        f.write_str("the posting is in the ledger of this head")
    }
}

/// Checks the answer of `GetInclusionProof`.
pub fn check(answer: &Value, trust: &Trust) -> Result<Proven, String> {
    let proof = parse(&answer["proof"])?;
    merkle::verify(&proof)?;
    if trust.root.is_some_and(|root| root != proof.head_root) {
        return Err("it leads to another head than the trusted one".to_owned());
    }
    let signature = match &answer["head"] {
        Value::Null => trust.check(None)?,
        told => {
            let (head, signature) = head(told)?;
            if (head.blocks, head.root) != (proof.head_blocks, proof.head_root) {
                return Err("it leads to another head than the one told".to_owned());
            }
            trust.check(Some((&head, &signature)))?
        }
    };
    let number = |name| {
        let value = chain::field(&proof.leaf, name).and_then(|value| value.try_into().ok());
        let value = value.map(i64::from_be_bytes);
        value.ok_or_else(|| format!("the leaf has no {name}"))
    };
    let text = |name| {
        let value = chain::field(&proof.leaf, name).map(String::from_utf8_lossy);
        value
            .map(String::from)
            .ok_or_else(|| format!("the leaf has no {name}"))
    };
    if u64::try_from(number("sequence")?) != Ok(proof.sequence) {
        return Err("the leaf has another sequence number".to_owned());
    }
    Ok(Proven {
        customer_id: text("customer_id")?,
        posting_id: text("posting_id")?,
        points: number("points")?,
        sequence: proof.sequence,
        head_blocks: proof.head_blocks,
        head_root: proof.head_root,
        signature,
    })
}

fn parse(proof: &Value) -> Result<Proof, String> {
    let block = &proof["block"];
    Ok(Proof {
        leaf: bytes(&proof["leaf"])?,
        sequence: count(&proof["sequence"])?,
        leaf_path: path(&proof["leafPath"])?,
        block: Block {
            number: count(&block["block"])?,
            first_sequence: count(&block["firstSequence"])?,
            postings: count(&block["postings"])?,
            previous: hash(&block["previous"])?,
            root: hash(&block["root"])?,
            link: hash(&block["link"])?,
        },
        block_path: path(&proof["blockPath"])?,
        head_blocks: count(&proof["headBlocks"])?,
        head_root: hash(&proof["headRoot"])?,
    })
}

#[cfg(test)]
mod tests {
    use loyalty_points::domain::chain::Canonical;
    use loyalty_points::domain::merkle::{Tree, leaf_hash};
    use serde_json::json;

    use super::super::fixtures::{base64, key, signed, stranger};
    use super::*;

    fn answer() -> Value {
        let leaf = Canonical::posting()
            .number("sequence", 2)
            .text("customer_id", "c1")
            .text("posting_id", "p2")
            .number("points", -5)
            .into_bytes();
        let leaves = [leaf_hash(b"first"), leaf_hash(&leaf)];
        let block = Block::after(None, &leaves);
        let head = Tree::of(vec![block.hash()]).root();
        json!({
            "proof": {
                "leaf": BASE64_STANDARD.encode(&leaf),
                "leafPath": [base64(leaves[0])],
                "block": {
                    "firstSequence": "1",
                    "postings": "2",
                    "previous": base64(block.previous),
                    "root": base64(block.root),
                    "link": base64(block.link),
                },
                "headBlocks": "1",
                "headRoot": base64(head),
                "sequence": "2",
            },
            "head": signed(1, head),
        })
    }

    fn trust(root: Option<Hash>) -> Trust {
        Trust { root, key: None }
    }

    #[test]
    fn a_proof_tells_what_it_proves() {
        let answer = answer();
        let root = hash(&answer["proof"]["headRoot"]).unwrap();
        let proven = check(&answer, &trust(Some(root))).unwrap();
        assert_eq!(
            (proven.customer_id.as_str(), proven.posting_id.as_str()),
            ("c1", "p2")
        );
        assert_eq!((proven.points, proven.sequence), (-5, 2));
        assert_eq!(proven.signature, Signature::NotChecked);
        assert!(proven.to_string().contains("not checked"), "{proven}");
        let signed = check(&answer, &key()).unwrap();
        assert!(matches!(signed.signature, Signature::Holds(_)), "{signed}");
    }

    #[test]
    fn anything_else_is_no_proof() {
        let other = leaf_hash(b"other");
        let refused = check(&answer(), &trust(Some(other))).unwrap_err();
        assert_eq!(refused, "it leads to another head than the trusted one");
        for (field, value) in [
            ("leaf", json!(BASE64_STANDARD.encode("other"))),
            ("leafPath", json!([base64(other)])),
            ("headRoot", json!(base64(other))),
            ("sequence", json!("1")),
            ("headBlocks", json!("2")),
            ("block", json!(null)),
            ("leaf", json!("not base64!")),
        ] {
            let mut forged = answer();
            forged["proof"][field] = value;
            check(&forged, &trust(None)).expect_err(field);
        }
        check(&json!({}), &trust(None)).unwrap_err();
    }

    #[test]
    fn a_head_that_the_key_did_not_sign_is_refused() {
        check(&answer(), &stranger()).unwrap_err();
        for (field, value) in [
            ("blocks", json!("2")),
            ("postings", json!("3")),
            ("root", json!(base64(leaf_hash(b"other")))),
            ("sealedAt", json!("1998-07-01T00:00:01Z")),
            ("signature", json!(BASE64_STANDARD.encode([1; 64]))),
            ("signature", json!(null)),
        ] {
            let mut forged = answer();
            forged["head"][field] = value;
            check(&forged, &key()).expect_err(field);
        }
        let mut without = answer();
        without["head"] = json!(null);
        assert_eq!(
            check(&without, &key()).unwrap_err(),
            "the head is not signed"
        );
        let unsigned = check(&without, &trust(None)).unwrap();
        assert_eq!(unsigned.signature, Signature::Absent);
    }
}
