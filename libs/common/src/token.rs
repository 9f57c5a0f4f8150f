//! Consistency tokens: "a read with this token never answers older than that write".

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::ids::CustomerId;
use crate::validate::Violations;

const VERSION: &str = "1";
/// Of tokens that are about no customer.
const SHARED_VERSION: &str = "s1";

/// A customer's revision in the service that owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The service that wrote.
    pub source: String,
    /// Whose revision.
    pub customer_id: CustomerId,
    /// The revision after the write.
    pub revision: i64,
}

impl ConsistencyToken {
    /// As the opaque text that callers pass around.
    pub fn encode(&self) -> String {
        let Self {
            source,
            customer_id,
            revision,
        } = self;
        URL_SAFE_NO_PAD.encode(format!("{VERSION}:{source}:{revision}:{customer_id}"))
    }

    /// Reads the text back; empty text is no token, and one that is about no customer asks for nothing here.
    pub fn decode(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() || SharedToken::decode(text).is_some() {
            return Ok(None);
        }
        Self::parse(text).map(Some).ok_or_else(|| {
            let mut violations = Violations::new();
            violations.add("at_least", "must be a consistency_token, unchanged");
            Error::Invalid(violations)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(4, ':');
        let (version, source, revision, customer_id) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // The text is the caller's: what is no name must not reach a database.
        let named = source.bytes().all(|byte| byte.is_ascii_lowercase());
        if version != VERSION || source.is_empty() || !named {
            return None;
        }
        Some(Self {
            source: source.to_owned(),
            customer_id: CustomerId::parse(customer_id).ok()?,
            revision: revision.parse().ok()?,
        })
    }
}

/// A revision of something that all customers share, in the service that owns it. It does not travel in the change
/// feed: other services have nothing to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedToken {
    /// The service that wrote.
    pub source: String,
    /// What it wrote: the kind and the name, for example `policy/default`.
    pub subject: String,
    /// The revision after the write.
    pub revision: i64,
}

impl SharedToken {
    /// As the opaque text that callers pass around.
    pub fn encode(&self) -> String {
        let Self {
            source,
            subject,
            revision,
        } = self;
        URL_SAFE_NO_PAD.encode(format!("{SHARED_VERSION}:{source}:{revision}:{subject}"))
    }

    /// Reads the text back, if it is such a token.
    pub fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(4, ':');
        let (version, source, revision, subject) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != SHARED_VERSION {
            return None;
        }
        Some(Self {
            source: source.to_owned(),
            subject: subject.to_owned(),
            revision: revision.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_round_trip() {
        let token = ConsistencyToken {
            source: "customer".to_owned(),
            customer_id: CustomerId::parse("c-1").unwrap(),
            revision: 7,
        };
        assert_eq!(
            ConsistencyToken::decode(&token.encode()).unwrap(),
            Some(token)
        );
        assert_eq!(ConsistencyToken::decode("").unwrap(), None);
    }

    #[test]
    fn a_token_about_no_customer_asks_for_no_customers_revision() {
        let token = SharedToken {
            source: "loyalty".to_owned(),
            subject: "policy/default".to_owned(),
            revision: 2,
        };
        assert_eq!(SharedToken::decode(&token.encode()), Some(token.clone()));
        assert_eq!(ConsistencyToken::decode(&token.encode()).unwrap(), None);
        let of_customer = URL_SAFE_NO_PAD.encode("1:loyalty:2:default");
        assert_eq!(SharedToken::decode(&of_customer), None);
        assert_eq!(SharedToken::decode(""), None);
    }

    #[test]
    fn foreign_text_is_no_token() {
        for bad in [
            "2:customer:1:c",
            "1::1:c",
            "1:a\0b:1:c",
            "1:customer:x:c",
            "1:customer:1:a b",
        ] {
            let text = URL_SAFE_NO_PAD.encode(bad);
            assert!(ConsistencyToken::decode(&text).is_err(), "{bad:?}");
        }
        assert!(ConsistencyToken::decode("nonsense").is_err());
    }
}
