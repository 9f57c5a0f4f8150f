//! Names of cached values.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::ids::CustomerId;

/// Names a customer's value within a cache. The customer is the hash tag, so that all values of one
/// customer live on one node of a Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// `parts` tell apart what a customer has several of, for example the program of a tier.
    pub fn new(parts: &[&str], customer: &CustomerId) -> Self {
        let parts_bytes: usize = parts.iter().map(|part| part.len() + 1).sum();
        let mut text = String::with_capacity(parts_bytes + customer.as_str().len() + 2);
        for part in parts {
            push_escaped(&mut text, part);
            text.push(':');
        }
        // A customer id has no character that would need escaping.
        text.push('{');
        text.push_str(customer.as_str());
        text.push('}');
        Self(text.into())
    }

    pub(super) fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Without separators within parts, two lists of parts never make the same key.
fn push_escaped(text: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            ':' | '{' | '}' | '%' => {
                write!(text, "%{:02x}", u32::from(character)).expect("a String takes all text");
            }
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_make_different_keys_with_the_customer_as_hash_tag() {
        let customer = CustomerId::parse("c1").unwrap();
        let text = |parts: &[&str]| Key::new(parts, &customer).to_string();
        assert_eq!(text(&[]), "{c1}");
        assert_eq!(text(&["gold", "eu"]), "gold:eu:{c1}");
        assert_eq!(text(&["gold:eu"]), "gold%3aeu:{c1}");
        assert_eq!(text(&["{x}%"]), "%7bx%7d%25:{c1}");
    }
}
