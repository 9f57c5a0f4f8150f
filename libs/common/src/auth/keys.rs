//! The keys that tokens are signed with, from a JSON Web Key Set (RFC 7517) that may be replaced while
//! the server runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::error::Error;

/// How often the file is looked at, however many unknown keys strangers present.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A key and the one algorithm it is for.
pub(super) struct Key {
    id: Option<String>,
    pub algorithm: Algorithm,
    pub verifier: DecodingKey,
}

/// The keys of one version of the file.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// The keys that may have signed such a token: the one it names, or where it names none, all.
    pub fn matching(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| {
            key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id)
        })
    }

    fn has(&self, id: Option<&str>) -> bool {
        id.is_none() || self.0.iter().any(|key| key.id.as_deref() == id)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The file and what was last read from it.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: Arc<Keys>,
    modified: Option<SystemTime>,
    looked: Instant,
}

impl KeyFile {
    /// Reads the file; a server does not start with keys it cannot use.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let modified = modified(&path);
        let keys = Arc::new(read(&path).map_err(Error::Config)?);
        Ok(Self { path, state: Mutex::new(State { keys, modified, looked: Instant::now() }) })
    }

    /// The keys, read again if the file has changed and was not looked at just now.
    pub fn current(&self, wanted: Option<&str>) -> Arc<Keys> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = if state.keys.has(wanted) { LOOK_EVERY * 6 } else { LOOK_EVERY };
        if state.looked.elapsed() >= patience {
            state.looked = Instant::now();
            self.look_again(&mut state);
        }
        state.keys.clone()
    }

    fn look_again(&self, state: &mut State) {
        let modified = modified(&self.path);
        if modified == state.modified {
            return;
        }
        match read(&self.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.0.len(), "token keys read again");
                state.keys = Arc::new(keys);
                state.modified = modified;
            }
            // Half written, perhaps: the old keys stay until the file is whole.
            Err(error) => tracing::warn!(error, "token keys not read, the old ones stay"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn read(path: &Path) -> Result<Keys, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("key file {name}: {error}"))?;
    let set: JwkSet = serde_json::from_str(&text)
        .map_err(|error| format!("key file {name} is not a JSON Web Key Set: {error}"))?;
    let keys: Vec<_> = set.keys.iter().filter_map(usable).collect();
    if keys.is_empty() {
        return Err(format!("key file {name} holds no key for HS256, RS256 or EdDSA"));
    }
    Ok(Keys(keys))
}

/// Sets may hold keys for other purposes; those are passed over.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::OctetKey(_), None | Some(KeyAlgorithm::HS256)) => Algorithm::HS256,
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::OctetKeyPair(_), None | Some(KeyAlgorithm::EdDSA)) => Algorithm::EdDSA,
        _ => return None,
    };
    let verifier = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, verifier })
}
