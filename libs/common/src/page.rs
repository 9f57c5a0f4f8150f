//! Keyset pages (AIP-158): an opaque token that carries the last row's key and is bound to its query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::validate::Violations;

const SIZE_DEFAULT: i32 = 100;
const SIZE_MAX: i32 = 1000;

/// Which page a caller asks for.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Rows at most.
    pub size: i64,
    after: Option<serde_json::Value>,
    binding: String,
}

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "q")]
    binding: String,
    #[serde(rename = "k")]
    key: serde_json::Value,
}

impl PageRequest {
    /// Reads size and token. `query` names the list and its filters: a token made for another query is refused.
    pub fn parse(
        violations: &mut Violations,
        page_size: i32,
        page_token: &str,
        query: &str,
    ) -> Option<Self> {
        let binding = binding_of(query);
        let size = match page_size {
            ..0 => {
                violations.add("page_size", "must be 0 (which means 100) or more");
                None
            }
            0 => Some(SIZE_DEFAULT),
            size => Some(size.min(SIZE_MAX)),
        };
        let after = match (page_token, decode(page_token)) {
            ("", _) => Some(None),
            (_, Some(token)) if token.binding == binding => Some(Some(token.key)),
            (_, Some(_)) => {
                violations.add(
                    "page_token",
                    "must come from the same list with the same arguments",
                );
                None
            }
            (_, None) => {
                violations.add("page_token", "must be a next_page_token, unchanged");
                None
            }
        };
        Some(Self {
            size: i64::from(size?),
            after: after?,
            binding,
        })
    }

    /// Key of the last row of the previous page; `None` for the first page.
    pub fn after<K: DeserializeOwned>(&self) -> Option<K> {
        // A key of another type comes from a forged token only: it reads as the first page.
        serde_json::from_value(self.after.clone()?).ok()
    }

    /// Token of the page that starts after a key.
    pub fn next_token<K: Serialize>(&self, key: &K) -> String {
        let key = serde_json::to_value(key).expect("keys are plain values");
        let token = Token {
            binding: self.binding.clone(),
            key,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain values"))
    }

    /// Cuts rows fetched with `size + 1` down to the page, and makes the token of the next one (empty at the end).
    pub fn cut<R, K: Serialize>(&self, rows: &mut Vec<R>, key: impl FnOnce(&R) -> K) -> String {
        let size = usize::try_from(self.size).expect("a size is between 1 and 1000");
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        rows.last()
            .map(|row| self.next_token(&key(row)))
            .unwrap_or_default()
    }
}

fn binding_of(query: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(query)[..9])
}

fn decode(token: &str) -> Option<Token> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    // PostgreSQL takes no NUL in text, and no key of ours has one.
    if text.contains("\\u0000") {
        return None;
    }
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(size: i32, token: &str, query: &str) -> Result<PageRequest, Vec<String>> {
        let mut violations = Violations::new();
        let page = PageRequest::parse(&mut violations, size, token, query);
        page.ok_or_else(|| violations.iter().map(|v| v.field.clone()).collect())
    }

    #[test]
    fn sizes_are_defaulted_capped_and_checked() {
        assert_eq!(parse(0, "", "q").unwrap().size, 100);
        assert_eq!(parse(5000, "", "q").unwrap().size, 1000);
        assert_eq!(parse(-1, "", "q").unwrap_err(), ["page_size"]);
    }

    #[test]
    fn a_token_opens_the_next_page_of_its_own_query_only() {
        let first = parse(2, "", "q").unwrap();
        let mut rows = vec![1_i64, 2, 3];
        let token = first.cut(&mut rows, |row| *row);
        assert_eq!(rows, [1, 2]);
        assert_eq!(parse(2, &token, "q").unwrap().after::<i64>(), Some(2));
        assert_eq!(parse(2, &token, "other").unwrap_err(), ["page_token"]);
        assert_eq!(parse(2, "garbage!", "q").unwrap_err(), ["page_token"]);
    }

    #[test]
    fn a_last_page_has_no_token() {
        let mut rows = vec![1_i64, 2];
        assert_eq!(parse(2, "", "q").unwrap().cut(&mut rows, |row| *row), "");
    }
}
