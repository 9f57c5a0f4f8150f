//! Why a caller is not let in.

use jsonwebtoken::errors::ErrorKind;
use tonic::{Code, Status};

use crate::error::Refusal;

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// There is none.
    Missing,
    /// It is not a bearer token, or not a JWT with the claims we need.
    Malformed,
    /// It is signed with an algorithm that is not accepted.
    Algorithm,
    /// No key of ours matches it.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// It is over, or not valid yet.
    Expired,
    /// It comes from somebody else.
    Issuer,
    /// It is meant for somebody else.
    Audience,
}

impl From<&ErrorKind> for Rejection {
    fn from(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Self::Expired,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Self::Algorithm,
            // Claims that are missing or of the wrong type, and whatever the library adds.
            _ => Self::Malformed,
        }
    }
}

impl Rejection {
    /// As the caller sees it.
    pub fn into_status(self) -> Status {
        let (reason, message) = match self {
            Self::Missing => ("TOKEN_MISSING", "send a token: authorization: Bearer …"),
            Self::Malformed => (
                "TOKEN_MALFORMED",
                "the token is not a JWT with sub, iss, aud and exp",
            ),
            Self::Algorithm => ("TOKEN_ALGORITHM", "the token's algorithm is not accepted"),
            Self::UnknownKey => (
                "TOKEN_KEY_UNKNOWN",
                "the token is signed with an unknown key",
            ),
            Self::Signature => ("TOKEN_SIGNATURE", "the token's signature is wrong"),
            Self::Expired => ("TOKEN_EXPIRED", "the token is not valid at this time"),
            Self::Issuer => ("TOKEN_ISSUER", "the token comes from another issuer"),
            Self::Audience => ("TOKEN_AUDIENCE", "the token is meant for another audience"),
        };
        Refusal::new(Code::Unauthenticated, reason, message).into_status()
    }
}
