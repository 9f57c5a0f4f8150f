//! Dry runs: decided like the real thing, answered, and undone.

use common::mutation::Mutation;
use prost::Message;
use tonic::Response;

use super::{Answer, finish};
use crate::error::Error;
use crate::ledger::Posted;

/// Whether a mutation is meant to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Real,
    /// Only the answer is wanted.
    Dry,
}

impl From<bool> for Run {
    fn from(dry_run: bool) -> Self {
        if dry_run { Self::Dry } else { Self::Real }
    }
}

impl Run {
    /// The request id that the mutation runs under: a dry run uses up none.
    pub fn request_id(self, request_id: &str) -> &str {
        match self {
            Self::Real => request_id,
            Self::Dry => "",
        }
    }

    /// What is told of a posting: of one that will not have been, no identity.
    pub fn told(self, mut posted: Posted) -> Posted {
        if self == Self::Dry {
            posted.written.posting.posting_id.clear();
            posted.written.posting.revision = 0;
            posted.written.revision = 0;
        }
        posted
    }
}

/// Commits the outcome and answers with it; undoes that of a dry run.
pub async fn conclude<T: Message>(
    mutation: Mutation,
    outcome: Result<T, Error>,
    run: Run,
) -> Answer<T> {
    match run {
        Run::Real => finish(mutation, outcome).await,
        Run::Dry => {
            drop(mutation);
            Ok(Response::new(outcome?))
        }
    }
}
