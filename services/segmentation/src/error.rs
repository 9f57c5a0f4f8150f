//! What can go wrong here, and what callers see of it.

use common::error::Refusal;
use common::ids::CustomerId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Code, Status};

/// Every refusal of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The customer feed has not told of this customer.
    #[error("customer {0} not found")]
    CustomerNotFound(CustomerId),
    /// Nobody can be rated yet.
    #[error("model {0} has no reference to rate against: call BuildReference")]
    NoReference(String),
    /// No such model.
    #[error("rating model {0:?} not found")]
    RatingModelNotFound(String),
    /// No such run, or none at that time.
    #[error("no RFM run {0}: call ComputeRfm")]
    RfmRunNotFound(String),
    /// The run did not score this customer.
    #[error("customer {customer} had no purchase in RFM run {run_id}")]
    NotInRun {
        /// Who.
        customer: CustomerId,
        /// Where.
        run_id: String,
    },
    /// There is nobody to compare.
    #[error("no customer has bought anything in the window")]
    EmptyBase,
    /// What any service can run into.
    #[error(transparent)]
    Platform(#[from] common::Error),
}

impl Error {
    /// The published reason; `None` for what the platform says itself.
    pub fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::CustomerNotFound(_) => "CUSTOMER_NOT_FOUND",
            Self::NoReference(_) => "NO_REFERENCE",
            Self::RatingModelNotFound(_) => "RATING_MODEL_NOT_FOUND",
            Self::RfmRunNotFound(_) => "RFM_RUN_NOT_FOUND",
            Self::NotInRun { .. } => "NOT_IN_RUN",
            Self::EmptyBase => "EMPTY_BASE",
            Self::Platform(_) => return None,
        })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Platform(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (message, reason) = (error.to_string(), error.reason().unwrap_or_default());
        let refuse = |code| Refusal::new(code, reason, message);
        match error {
            Error::CustomerNotFound(customer) => refuse(Code::NotFound)
                .with("customer_id", customer)
                .into_status(),
            Error::NoReference(model) => refuse(Code::FailedPrecondition)
                .with("model_id", model)
                .into_status(),
            Error::RatingModelNotFound(model) => {
                refuse(Code::NotFound).with("model_id", model).into_status()
            }
            Error::RfmRunNotFound(_) => refuse(Code::NotFound).into_status(),
            Error::NotInRun { customer, run_id } => refuse(Code::NotFound)
                .with("customer_id", customer)
                .with("run_id", run_id)
                .into_status(),
            Error::EmptyBase => refuse(Code::FailedPrecondition).into_status(),
            Error::Platform(error) => error.into(),
        }
    }
}

/// JSON that this service has stored itself.
pub fn stored_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| common::Error::Internal(format!("stored JSON: {error}")).into())
}

/// JSON to store.
pub fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data is JSON")
}
