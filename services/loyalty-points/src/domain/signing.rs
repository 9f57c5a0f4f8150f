//! Heads, and the signatures by which whoever has the public key knows whose they are: Ed25519.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::time::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::chain::Canonical;
use super::merkle::Hash;

const HEAD: &str = "asterism.loyalty.head.v1";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The whole sealed ledger in one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its blocks.
    pub blocks: u64,
    /// Its postings.
    pub postings: u64,
    /// Merkle root over the blocks.
    pub root: Hash,
    /// When the last block was sealed.
    pub sealed_at: Timestamp,
}

impl Head {
    /// What is signed.
    pub fn bytes(&self) -> Vec<u8> {
        Canonical::of(HEAD)
            .value("blocks", &self.blocks.to_be_bytes())
            .value("postings", &self.postings.to_be_bytes())
            .value("root", &self.root.0)
            .number("sealed_at", self.sealed_at.micros())
            .into_bytes()
    }
}

/// What signs heads. `Debug` does not show it.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a PKCS#8 key in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let within = pem
            .split_once(PEM_BEGIN)
            .and_then(|(_, rest)| rest.split_once(PEM_END));
        let (body, _) = within.ok_or("must hold a private key in PEM")?;
        let body: String = body.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(body);
        let bytes = bytes.map_err(|_| "must hold a private key in PEM")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes);
        Ok(Self(
            pair.map_err(|_| "must hold an Ed25519 key in PKCS#8")?,
        ))
    }

    /// The PEM of a key in PKCS#8.
    pub fn to_pem(pkcs8: &[u8]) -> String {
        let body = BASE64_STANDARD.encode(pkcs8);
        let mut pem = format!("{PEM_BEGIN}\n");
        for line in body.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem + PEM_END + "\n"
    }

    /// The other half, which checks.
    pub fn public(&self) -> PublicKey {
        let bytes = self.0.public_key().as_ref().try_into();
        PublicKey(bytes.expect("an Ed25519 public key has 32 bytes"))
    }

    /// The same head always has the same signature.
    pub fn sign(&self, head: &Head) -> Vec<u8> {
        self.0.sign(&head.bytes()).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(… of {})", self.public().id())
    }
}

/// What checks signatures of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Checks the length.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.try_into().map_err(|_| "must be 32 bytes");
        Ok(Self(bytes?))
    }

    /// A short name: the first 8 bytes of its SHA-256 in hexadecimal digits.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.0);
        digest[..8]
            .iter()
            .fold(String::new(), |id, byte| id + &format!("{byte:02x}"))
    }

    /// Whether a head has this signature.
    pub fn verify(&self, head: &Head, signature: &[u8]) -> Result<(), &'static str> {
        if signature.is_empty() {
            return Err("the head is not signed");
        }
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        let checked = key.verify(&head.bytes(), signature);
        checked.map_err(|_| "the head is not signed by this key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGCXUEBeERz3y6re0Wv9GIyuIrGp7LbqwuD/DMKJp6y6
-----END PRIVATE KEY-----
";

    fn head() -> Head {
        Head {
            blocks: 3,
            postings: 700,
            root: Hash([7; 32]),
            sealed_at: Timestamp::from_micros(1_000_001),
        }
    }

    #[test]
    fn a_signature_holds_for_nothing_but_its_head_and_key() {
        let key = SigningKey::from_pem(PEM).unwrap();
        let signature = key.sign(&head());
        assert_eq!(signature, key.sign(&head()));
        let public = PublicKey::parse(&key.public().0).unwrap();
        assert_eq!(public.verify(&head(), &signature), Ok(()));
        let others = [
            Head {
                blocks: 4,
                ..head()
            },
            Head {
                postings: 701,
                ..head()
            },
            Head {
                root: Hash([8; 32]),
                ..head()
            },
            Head {
                sealed_at: Timestamp::from_micros(1_000_002),
                ..head()
            },
        ];
        for other in others {
            public.verify(&other, &signature).unwrap_err();
        }
        for byte in 0..signature.len() {
            let mut forged = signature.clone();
            forged[byte] ^= 1;
            public.verify(&head(), &forged).unwrap_err();
        }
        assert_eq!(public.verify(&head(), &[]), Err("the head is not signed"));
        let stranger = PublicKey([9; 32]);
        stranger.verify(&head(), &signature).unwrap_err();
        assert_ne!(stranger.id(), public.id());
        assert_eq!(public.id().len(), 16);
    }

    #[test]
    fn a_key_survives_its_pem_and_others_are_refused() {
        let body: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
        let again = SigningKey::to_pem(&BASE64_STANDARD.decode(body).unwrap());
        assert_eq!(again, PEM);
        for pem in [
            "",
            "-----BEGIN PRIVATE KEY-----",
            &PEM.replace("MC4C", "????"),
        ] {
            SigningKey::from_pem(pem).unwrap_err();
        }
        let truncated = PEM.replace("p6y6", "");
        SigningKey::from_pem(&truncated).unwrap_err();
    }

    #[test]
    fn debug_does_not_show_it() {
        let shown = format!("{:?}", SigningKey::from_pem(PEM).unwrap());
        assert!(shown.starts_with("SigningKey(… of "), "{shown}");
        assert_eq!(shown.len(), "SigningKey(… of 0123456789abcdef)".len());
    }
}
