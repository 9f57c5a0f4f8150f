//! That one head has grown out of another.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use loyalty_points::domain::consistency::{self, Tree};
use loyalty_points::domain::signing::Head;
use serde_json::Value;

use super::json::{head, path};
use super::{Signature, Trust};

/// What was proven.
#[derive(Debug, PartialEq, Eq)]
pub struct Grown {
    first: Head,
    second: Head,
    signature: Signature,
}

impl fmt::Display for Grown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, head) in [("first", &self.first), ("second", &self.second)] {
            let root = BASE64_STANDARD.encode(head.root.0);
            let (blocks, postings) = (head.blocks, head.postings);
            writeln!(f, "{name:<11} {root}, {blocks} blocks, {postings} postings")?;
        }
        writeln!(f, "signatures  {}", self.signature)?;
        f.write_str("the second head is what the first one has grown into")
    }
}

/// Checks the answer of `GetConsistencyProof`. The root that is trusted is the first one.
pub fn check(answer: &Value, trust: &Trust) -> Result<Grown, String> {
    let (first, first_signature) = head(&answer["first"])?;
    let (second, second_signature) = head(&answer["second"])?;
    let tree = |head: &Head| Tree {
        size: head.blocks,
        root: head.root,
    };
    consistency::verify(tree(&first), tree(&second), &path(&answer["path"])?)?;
    if first.postings > second.postings {
        return Err("the second head has fewer postings".to_owned());
    }
    if trust.root.is_some_and(|root| root != first.root) {
        return Err("the first head is another one than the trusted one".to_owned());
    }
    trust.check(Some((&first, &first_signature)))?;
    let signature = trust.check(Some((&second, &second_signature)))?;
    Ok(Grown {
        first,
        second,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use loyalty_points::domain::merkle::{Hash, leaf_hash, node_hash};
    use serde_json::json;

    use super::super::fixtures::{base64, key, signed, stranger};
    use super::*;

    fn leaves() -> [Hash; 3] {
        [&b"a"[..], b"b", b"c"].map(leaf_hash)
    }

    fn answer() -> Value {
        let [a, b, c] = leaves();
        let first = node_hash(a, b);
        json!({
            "path": [base64(c)],
            "first": signed(2, first),
            "second": signed(3, node_hash(first, c)),
        })
    }

    #[test]
    fn a_head_that_has_grown_is_proven() {
        let [a, b, _] = leaves();
        let trust = Trust {
            root: Some(node_hash(a, b)),
            ..key()
        };
        let grown = check(&answer(), &trust).unwrap();
        assert_eq!((grown.first.blocks, grown.second.blocks), (2, 3));
        assert!(matches!(grown.signature, Signature::Holds(_)), "{grown}");
    }

    #[test]
    fn anything_else_is_no_proof() {
        let [a, _, c] = leaves();
        check(&answer(), &stranger()).unwrap_err();
        let another = Trust {
            root: Some(c),
            key: None,
        };
        check(&answer(), &another).unwrap_err();
        for (field, value) in [
            ("path", json!([])),
            ("path", json!([base64(a)])),
            ("path", json!([base64(c), base64(c)])),
            ("first", signed(2, a)),
            ("first", signed(1, a)),
            ("second", signed(3, c)),
            ("second", json!(null)),
        ] {
            let mut forged = answer();
            forged[field] = value;
            check(&forged, &key()).expect_err(field);
        }
        // A number of blocks is no part of the root: the signature vouches for it.
        let mut longer = answer();
        longer["second"]["blocks"] = json!("4");
        check(&longer, &key()).unwrap_err();
        let mut unsigned = answer();
        unsigned["first"]["signature"] = json!(null);
        check(&unsigned, &key()).unwrap_err();
    }
}
