//! Checks proofs of the points ledger, offline.
//!
//! The file is the answer of `AuditService.GetInclusionProof` or `AuditService.GetConsistencyProof` as JSON, as gRPC
//! tools print it.

mod consistency;
mod inclusion;
mod json;

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use common::Error;
use loyalty_points::domain::merkle::Hash;
use loyalty_points::domain::signing::{Head, PublicKey};
use serde_json::Value;

/// What to check.
#[derive(Debug, Clone, Args)]
pub struct VerifyConfig {
    /// The proof: the JSON answer of `AuditService.GetInclusionProof` or `AuditService.GetConsistencyProof`.
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// Root of the head that you trust, in base64 as JSON has it; of a consistency proof the first one. Without it,
    /// compare the one printed.
    #[arg(long, value_name = "BASE64")]
    root: Option<String>,
    /// Public key that heads must be signed with, in base64 as `AuditService.GetSigningKey` tells it. Without it
    /// signatures are not checked.
    #[arg(long, value_name = "BASE64")]
    public_key: Option<String>,
}

/// What is trusted from elsewhere.
#[derive(Debug, Default)]
struct Trust {
    root: Option<Hash>,
    key: Option<PublicKey>,
}

/// What is to be said of a signature.
#[derive(Debug, PartialEq, Eq)]
enum Signature {
    /// It is that of the key with this id.
    Holds(String),
    /// Nobody said with which key.
    NotChecked,
    /// There is none, and none was asked for.
    Absent,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(key) => write!(f, "holds, by key {key}"),
            Self::NotChecked => f.write_str("not checked: give --public-key"),
            Self::Absent => f.write_str("none"),
        }
    }
}

impl Trust {
    fn parse(root: Option<&str>, key: Option<&str>) -> Result<Self, String> {
        let root = root.map(|root| json::hash(&Value::from(root))).transpose();
        let key = key.map(|key| {
            let bytes = json::bytes(&Value::from(key))?;
            PublicKey::parse(&bytes).map_err(|violation| format!("the public key {violation}"))
        });
        Ok(Self {
            root: root?,
            key: key.transpose()?,
        })
    }

    /// Refuses a head without the signature of the key, if one is trusted.
    fn check(&self, head: Option<(&Head, &[u8])>) -> Result<Signature, String> {
        match (&self.key, head) {
            (Some(key), Some((head, signature))) => {
                key.verify(head, signature)?;
                Ok(Signature::Holds(key.id()))
            }
            (Some(_), None) => Err("the head is not signed".to_owned()),
            (None, Some((_, signature))) if !signature.is_empty() => Ok(Signature::NotChecked),
            (None, _) => Ok(Signature::Absent),
        }
    }
}

/// Reads the file, checks it and prints what it proves.
pub fn run(config: &VerifyConfig) -> Result<(), Error> {
    let trust = Trust::parse(config.root.as_deref(), config.public_key.as_deref());
    let trust = trust.map_err(Error::Config)?;
    let read = std::fs::read_to_string(&config.proof);
    let text = read.map_err(|error| Error::Config(format!("the proof cannot be read: {error}")))?;
    let proven = check(&text, &trust);
    let proven = proven.map_err(|violation| Error::Internal(format!("no proof: {violation}")))?;
    println!("{proven}");
    Ok(())
}

/// Checks either proof; returns what it proves, in words.
fn check(text: &str, trust: &Trust) -> Result<String, String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if answer["proof"].is_object() {
        Ok(inclusion::check(&answer, trust)?.to_string())
    } else if answer["first"].is_object() {
        Ok(consistency::check(&answer, trust)?.to_string())
    } else {
        Err("it holds neither an inclusion proof nor a consistency proof".to_owned())
    }
}

/// Heads and keys for tests.
#[cfg(test)]
mod fixtures {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use common::time::Timestamp;
    use loyalty_points::domain::merkle::Hash;
    use loyalty_points::domain::signing::{Head, PublicKey, SigningKey};
    use serde_json::{Value, json};

    use super::Trust;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEILowLhrfLde8VZTxc3R+4lfQDkA4p9oBbAbYCYerJXFJ
-----END PRIVATE KEY-----
";

    pub fn base64(hash: Hash) -> String {
        BASE64_STANDARD.encode(hash.0)
    }

    /// A head as JSON, signed with the key.
    pub fn signed(blocks: u64, root: Hash) -> Value {
        let head = Head {
            blocks,
            postings: 2 * blocks,
            root,
            sealed_at: Timestamp::from_micros(899_251_200_000_250),
        };
        let signature = SigningKey::from_pem(PEM).unwrap().sign(&head);
        json!({
            "blocks": blocks.to_string(),
            "postings": (2 * blocks).to_string(),
            "root": base64(root),
            "sealedAt": "1998-07-01T00:00:00.000250Z",
            "signature": BASE64_STANDARD.encode(signature),
        })
    }

    /// Trusts the key.
    pub fn key() -> Trust {
        Trust {
            key: Some(SigningKey::from_pem(PEM).unwrap().public()),
            ..Trust::default()
        }
    }

    /// Trusts another key.
    pub fn stranger() -> Trust {
        Trust {
            key: Some(PublicKey([9; 32])),
            ..Trust::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_proof_is_refused() {
        for text in ["{}", "no JSON", "[]", r#"{"proof": 1}"#] {
            check(text, &Trust::default()).expect_err(text);
        }
    }

    #[test]
    fn malformed_trust_is_refused() {
        for (root, key) in [
            (Some("AAAA"), None),
            (None, Some("AAAA")),
            (None, Some("?")),
        ] {
            Trust::parse(root, key).unwrap_err();
        }
        Trust::parse(None, None).unwrap();
    }
}
