//! Checks a proof that a posting is in the points ledger, offline.
//!
//! The file is the answer of `AuditService.GetInclusionProof` as JSON, as gRPC tools print it.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use common::Error;
use loyalty_points::domain::chain::{self, Block};
use loyalty_points::domain::merkle::{self, Hash, Proof};
use serde_json::Value;

/// What to check.
#[derive(Debug, Clone, Args)]
pub struct VerifyConfig {
    /// The proof: the JSON answer of `AuditService.GetInclusionProof`.
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Root of the head that you trust, in base64 as JSON has it. Without it, compare the one printed.
    #[arg(long, value_name = "BASE64")]
    root: Option<String>,
}

/// What was proven.
#[derive(Debug, PartialEq, Eq)]
struct Proven {
    customer_id: String,
    posting_id: String,
    points: i64,
    sequence: u64,
    head_blocks: u64,
    head_root: Hash,
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
        f.write_str("the posting is in the ledger of this head")
    }
}

/// Reads the file, checks it and prints what it proves.
pub fn run(config: &VerifyConfig) -> Result<(), Error> {
    let read = std::fs::read_to_string(&config.proof);
    let text = read.map_err(|error| Error::Config(format!("the proof cannot be read: {error}")))?;
    let proven = check(&text, config.root.as_deref());
    let proven = proven.map_err(|violation| Error::Internal(format!("no proof: {violation}")))?;
    println!("{proven}");
    Ok(())
}

fn check(text: &str, trusted_root: Option<&str>) -> Result<Proven, String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let proof = parse(&answer["proof"])?;
    merkle::verify(&proof)?;
    if let Some(root) = trusted_root
        && hash(&Value::from(root))? != proof.head_root
    {
        return Err("it leads to another head than the trusted one".to_owned());
    }
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

/// JSON of protobuf leaves out zeroes and writes 64 bits as text.
fn count(value: &Value) -> Result<u64, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
        other => other
            .as_u64()
            .ok_or_else(|| format!("{other} is no number")),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    let text = value.as_str().ok_or("a field with bytes is missing")?;
    let decoded = BASE64_STANDARD.decode(text);
    decoded.map_err(|_| format!("{text:?} is not base64"))
}

fn hash(value: &Value) -> Result<Hash, String> {
    Hash::parse(&bytes(value)?).map_err(|violation| format!("a hash {violation}"))
}

fn path(value: &Value) -> Result<Vec<Hash>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(hashes) => hashes.iter().map(hash).collect(),
        other => Err(format!("{other} is no list of hashes")),
    }
}

#[cfg(test)]
mod tests {
    use loyalty_points::domain::chain::Canonical;
    use loyalty_points::domain::merkle::{Tree, leaf_hash};
    use serde_json::json;

    use super::*;

    fn base64(hash: Hash) -> String {
        BASE64_STANDARD.encode(hash.0)
    }

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
        json!({ "proof": {
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
        }})
    }

    #[test]
    fn a_proof_tells_what_it_proves() {
        let answer = answer();
        let root = answer["proof"]["headRoot"].as_str();
        let proven = check(&answer.to_string(), root).unwrap();
        assert_eq!(
            (proven.customer_id.as_str(), proven.posting_id.as_str()),
            ("c1", "p2")
        );
        assert_eq!((proven.points, proven.sequence), (-5, 2));
    }

    #[test]
    fn anything_else_is_no_proof() {
        let other = base64(leaf_hash(b"other"));
        let whole = answer().to_string();
        let refused = check(&whole, Some(&other)).unwrap_err();
        assert_eq!(refused, "it leads to another head than the trusted one");
        for (field, value) in [
            ("leaf", json!(BASE64_STANDARD.encode("other"))),
            ("leafPath", json!([other])),
            ("headRoot", json!(other)),
            ("sequence", json!("1")),
            ("headBlocks", json!("2")),
            ("block", json!(null)),
            ("leaf", json!("not base64!")),
        ] {
            let mut forged = answer();
            forged["proof"][field] = value;
            check(&forged.to_string(), None).expect_err(field);
        }
        check("{}", None).unwrap_err();
        check("no JSON", None).unwrap_err();
    }
}
