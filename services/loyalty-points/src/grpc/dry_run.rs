//! Dry runs: decided like the real thing, answered, and undone.

use common::mutation::Mutation;
use prost::Message;
use tonic::Response;

use super::{Answer, finish};
use crate::error::Error;
use crate::writer::Run;

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
