//! The keys that tokens are signed with, from a JSON Web Key Set (RFC 7517).

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};

/// A key and the one algorithm it is for.
pub(super) struct Key {
    id: Option<String>,
    pub algorithm: Algorithm,
    pub verifier: DecodingKey,
}

/// The keys of one version of the file.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Takes the keys that can be used; sets may hold keys for other purposes.
    pub fn parse(text: &str) -> Result<Arc<Self>, String> {
        let set: JwkSet = serde_json::from_str(text)
            .map_err(|error| format!("is not a JSON Web Key Set: {error}"))?;
        let keys: Vec<_> = set.keys.iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err("holds no key for HS256, RS256 or EdDSA".to_owned());
        }
        Ok(Arc::new(Self(keys)))
    }

    /// The keys that may have signed such a token: the one it names, or where it names none, all.
    pub fn matching(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| {
            key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id)
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::OctetKey(_), None | Some(KeyAlgorithm::HS256)) => Algorithm::HS256,
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::OctetKeyPair(_), None | Some(KeyAlgorithm::EdDSA)) => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let verifier = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        verifier,
    })
}
