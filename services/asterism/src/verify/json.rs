//! Fields of the JSON that protobuf messages are written as.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use common::time::Timestamp;
use loyalty_points::domain::merkle::Hash;
use loyalty_points::domain::signing::Head;
use serde_json::Value;

/// JSON of protobuf leaves out zeroes and writes 64 bits as text.
pub fn count(value: &Value) -> Result<u64, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
        other => other
            .as_u64()
            .ok_or_else(|| format!("{other} is no number")),
    }
}

pub fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    let text = value.as_str().ok_or("a field with bytes is missing")?;
    let decoded = BASE64_STANDARD.decode(text);
    decoded.map_err(|_| format!("{text:?} is not base64"))
}

pub fn hash(value: &Value) -> Result<Hash, String> {
    Hash::parse(&bytes(value)?).map_err(|violation| format!("a hash {violation}"))
}

pub fn path(value: &Value) -> Result<Vec<Hash>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(hashes) => hashes.iter().map(hash).collect(),
        other => Err(format!("{other} is no list of hashes")),
    }
}

/// An instant in RFC 3339.
fn instant(value: &Value) -> Result<Timestamp, String> {
    let text = value.as_str().ok_or("an instant is missing")?;
    let parsed = DateTime::parse_from_rfc3339(text);
    let parsed = parsed.map_err(|_| format!("{text:?} is no instant"))?;
    Ok(parsed.to_utc().into())
}

/// A head with its signature, which is empty where it has none.
pub fn head(value: &Value) -> Result<(Head, Vec<u8>), String> {
    let head = Head {
        blocks: count(&value["blocks"])?,
        postings: count(&value["postings"])?,
        root: hash(&value["root"])?,
        sealed_at: instant(&value["sealedAt"])?,
    };
    let signature = match &value["signature"] {
        Value::Null => Vec::new(),
        signature => bytes(signature)?,
    };
    Ok((head, signature))
}
