//! The key that heads are signed with, as it is now: its file may be replaced while we run.

use std::path::PathBuf;
use std::sync::Arc;

use common::Error;
use common::config::{Reread, Secret};

use crate::domain::signing::{Head, PublicKey, SigningKey};

/// Signs heads, if there is a key. Signatures are made when a head is told and are not stored: a new key signs
/// old heads, too, and what the old key signed stays valid for those who know it.
#[derive(Debug, Clone)]
pub struct Signer(Source);

#[derive(Debug, Clone)]
enum Source {
    None,
    Given(Arc<SigningKey>),
    File(Arc<Reread<Arc<SigningKey>>>),
}

impl Signer {
    /// Leaves heads unsigned.
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// Signs with this key, in PEM, as long as the process runs.
    pub fn given(pem: &Secret) -> Result<Self, Error> {
        let key = parse(pem.reveal()).map_err(Error::Config)?;
        Ok(Self(Source::Given(key)))
    }

    /// Signs with the key of a file, or with the last one it held that could be used.
    pub fn file(path: PathBuf) -> Result<Self, Error> {
        let key = Reread::open("signing-key", path, parse)?;
        Ok(Self(Source::File(Arc::new(key))))
    }

    fn key(&self) -> Option<Arc<SigningKey>> {
        match &self.0 {
            Source::None => None,
            Source::Given(key) => Some(key.clone()),
            Source::File(file) => Some(file.get()),
        }
    }

    /// The signature and who checks it.
    pub fn sign(&self, head: &Head) -> Option<(Vec<u8>, PublicKey)> {
        self.key().map(|key| (key.sign(head), key.public()))
    }

    /// What checks the signatures of now.
    pub fn public(&self) -> Option<PublicKey> {
        self.key().map(|key| key.public())
    }
}

fn parse(pem: &str) -> Result<Arc<SigningKey>, String> {
    let key = SigningKey::from_pem(pem).map(Arc::new);
    key.map_err(|violation| format!("the signing key of the points ledger {violation}"))
}
