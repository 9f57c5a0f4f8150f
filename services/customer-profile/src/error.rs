//! Everything this service refuses, each with its code and reason.

use common::Refusal;
use common::ids::CustomerId;
use common::sealing::SealError;
use tonic::{Code, Status};

use crate::domain::Key;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, or deleted.
    #[error("customer {0} not found")]
    CustomerNotFound(CustomerId),
    /// The id is in use.
    #[error("customer {0} already exists")]
    CustomerAlreadyExists(CustomerId),
    /// The id was in use.
    #[error("customer id {0} belonged to a customer who was deleted: choose another")]
    CustomerIdRetired(CustomerId),
    /// Another customer has the external id.
    #[error("external id {} of {} belongs to customer {owner}", key.external_id, key.source)]
    ExternalIdTaken {
        /// The external id.
        key: Key,
        /// Who has it.
        owner: CustomerId,
    },
    /// Unknown purchase.
    #[error("transaction {0} not found")]
    TransactionNotFound(String),
    /// Voided before.
    #[error("transaction {0} is voided already")]
    TransactionAlreadyVoided(String),
    /// Another customer stands for it.
    #[error("customer {customer_id} was merged: customer {survivor} stands for it")]
    CustomerMerged {
        /// The customer.
        customer_id: CustomerId,
        /// Who stands for it.
        survivor: CustomerId,
    },
    /// It stands for others.
    #[error("customers are merged into customer {0}: unmerge them first")]
    CustomerHasAbsorbed(CustomerId),
    /// Unknown merge.
    #[error("merge {0} not found")]
    MergeNotFound(String),
    /// Undone before.
    #[error("merge {0} is undone already")]
    MergeAlreadyUndone(String),
    /// Another writer took the same natural key between our look and our write. Nothing happened.
    #[error("another writer used the same key at the same moment: try again")]
    KeyRaced,
    /// What can go wrong in any service.
    #[error(transparent)]
    Platform(#[from] common::Error),
}

impl Error {
    /// Whether the same work, done again, may well succeed.
    pub fn is_race(&self) -> bool {
        match self {
            Self::KeyRaced => true,
            Self::Platform(common::Error::Database(error)) => common::error::is_conflict(error),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Platform(error.into())
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        Self::Platform(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::CustomerNotFound(id) => {
                Refusal::new(Code::NotFound, "CUSTOMER_NOT_FOUND", message).with("customer_id", id)
            }
            Error::CustomerAlreadyExists(id) => {
                Refusal::new(Code::AlreadyExists, "CUSTOMER_ALREADY_EXISTS", message)
                    .with("customer_id", id)
            }
            Error::CustomerIdRetired(id) => {
                Refusal::new(Code::FailedPrecondition, "CUSTOMER_ID_RETIRED", message)
                    .with("customer_id", id)
            }
            Error::ExternalIdTaken { key, owner } => {
                Refusal::new(Code::AlreadyExists, "EXTERNAL_ID_TAKEN", message)
                    .with("source", key.source)
                    .with("external_id", key.external_id)
                    .with("customer_id", owner)
            }
            Error::TransactionNotFound(id) => {
                Refusal::new(Code::NotFound, "TRANSACTION_NOT_FOUND", message)
                    .with("transaction_id", id)
            }
            Error::TransactionAlreadyVoided(id) => Refusal::new(
                Code::FailedPrecondition,
                "TRANSACTION_ALREADY_VOIDED",
                message,
            )
            .with("transaction_id", id),
            Error::CustomerMerged {
                customer_id,
                survivor,
            } => Refusal::new(Code::FailedPrecondition, "CUSTOMER_MERGED", message)
                .with("customer_id", customer_id)
                .with("survivor_id", survivor),
            Error::CustomerHasAbsorbed(id) => {
                Refusal::new(Code::FailedPrecondition, "CUSTOMER_HAS_ABSORBED", message)
                    .with("customer_id", id)
            }
            Error::MergeNotFound(id) => {
                Refusal::new(Code::NotFound, "MERGE_NOT_FOUND", message).with("merge_id", id)
            }
            Error::MergeAlreadyUndone(id) => {
                Refusal::new(Code::FailedPrecondition, "MERGE_ALREADY_UNDONE", message)
                    .with("merge_id", id)
            }
            Error::KeyRaced => Refusal::new(Code::Aborted, "TRANSACTION_CONFLICT", message)
                .retry_after(std::time::Duration::from_millis(20)),
            Error::Platform(error) => return error.into(),
        }
        .into_status()
    }
}
