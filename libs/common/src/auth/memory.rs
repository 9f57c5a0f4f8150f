//! Tokens that were verified a moment ago. A caller sends the same token with every call, and checking
//! a signature costs more than most calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::keys::Keys;
use crate::identity::Identity;

/// How long a token is believed without another look. Tokens of withdrawn keys are not: they are
/// forgotten with their keys.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
const TOKENS_MAX: usize = 4096;

/// Identities by the digest of their token, so that no token is kept.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    keys: Option<Arc<Keys>>,
    identities: HashMap<[u8; 32], (Identity, Instant)>,
}

impl Memory {
    /// Who the bearer is, if the token was verified with these keys a moment ago.
    pub fn find(&self, token: &str, keys: &Arc<Keys>) -> Option<Identity> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered
            .keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys))
        {
            return None;
        }
        let (identity, until) = remembered.identities.get(&digest(token))?;
        (Instant::now() < *until).then(|| identity.clone())
    }

    /// Remembers a verified token that is valid for `left` from now.
    pub fn insert(&self, token: &str, keys: &Arc<Keys>, identity: Identity, left: Duration) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = remembered
            .keys
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, keys));
        if !same || remembered.identities.len() >= TOKENS_MAX {
            remembered.identities.clear();
            remembered.keys = Some(keys.clone());
        }
        let until = Instant::now() + left.min(BELIEVED_FOR);
        remembered
            .identities
            .insert(digest(token), (identity, until));
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Arc<Keys> {
        Keys::parse(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#).unwrap()
    }

    #[test]
    fn a_token_is_believed_while_it_is_valid_and_its_keys_are_in_use() {
        let (memory, now, later) = (Memory::default(), keys(), keys());
        let identity = Identity::new("team-a", []);
        memory.insert("token", &now, identity.clone(), Duration::from_mins(1));
        assert_eq!(memory.find("token", &now), Some(identity.clone()));
        assert_eq!(memory.find("other", &now), None);
        assert_eq!(memory.find("token", &later), None);
        memory.insert("expired", &now, identity, Duration::ZERO);
        assert_eq!(memory.find("expired", &now), None);
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let (memory, keys) = (Memory::default(), keys());
        for i in 0..=TOKENS_MAX {
            let identity = Identity::new("team-a", []);
            memory.insert(&i.to_string(), &keys, identity, Duration::from_mins(1));
        }
        assert_eq!(memory.0.lock().unwrap().identities.len(), 1);
    }
}
