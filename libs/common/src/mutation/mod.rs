//! Mutations that may be repeated (AIP-155).
//!
//! With a `request_id`, the first statement of the transaction reserves the pair of method and key. A
//! concurrent duplicate waits on that row and then finds the first one's answer. The answer is stored in
//! the same transaction as the effect. A definitive refusal is stored too, with the effect undone, so a
//! retry never flips the outcome. Malformed requests never get here.
//!
//! A service whose answers hold personal data seals what it keeps of them: see `Platform::with_sealed_answers`.
//!
//! Invariant: one method and key have at most one effect, and equal answers.

mod answers;
mod fingerprint;
mod sealed;
pub(crate) mod store;

pub use answers::Answers;

use chrono::TimeDelta;
use prost::{Message, Name};
use tonic::metadata::MetadataValue;
use tonic::{Code, Response, Status};

use crate::db::{Gathered, Tx};
use crate::error::Error;
use crate::platform::Platform;
use crate::sealing::Keys;
use fingerprint::Fingerprint;

/// Answers to repeated mutations are kept this long; facts with a natural key need no answer kept.
pub const ANSWERS_KEPT: TimeDelta = TimeDelta::days(30);

/// Response metadata that marks an answer given again.
pub const REPLAYED: &str = "asterism-replayed";

/// A mutation that a caller asks for.
#[derive(Debug)]
pub struct Call {
    method: &'static str,
    message: String,
    key: Option<(String, Fingerprint)>,
}

impl Call {
    /// `method` is the full name, for example `asterism.loyalty.v1.LoyaltyService/EarnPoints`.
    pub fn new<M: Message + Name>(method: &'static str, request: &M, request_id: &str) -> Self {
        let key =
            (!request_id.is_empty()).then(|| (request_id.to_owned(), Fingerprint::of(request)));
        Self {
            method,
            message: M::full_name(),
            key,
        }
    }
}

/// Whether a mutation is new.
pub enum Begun<T> {
    /// It was answered before: this is the answer.
    Replayed(Result<Response<T>, Status>),
    /// It runs in this transaction.
    Fresh(Mutation),
}

/// A mutation under way.
pub struct Mutation {
    tx: Tx,
    mark: Option<Gathered>,
    method: &'static str,
    request_id: Option<String>,
    keys: Option<Keys>,
}

impl Platform {
    /// Begins a mutation, or finds the answer it was given before.
    pub async fn begin<T: Message + Default>(&self, call: Call) -> Result<Begun<T>, Error> {
        let mut tx = self.tx().await?;
        let Some((request_id, fingerprint)) = call.key else {
            return Ok(Begun::Fresh(Mutation {
                tx,
                mark: None,
                method: call.method,
                request_id: None,
                keys: None,
            }));
        };
        let found = store::reserve_or_get(&mut tx, call.method, &request_id, &fingerprint).await?;
        let Some(mut stored) = found else {
            let mark = Some(tx.mark().await?);
            let mutation = Mutation {
                tx,
                mark,
                method: call.method,
                request_id: Some(request_id),
                keys: self.answers.clone(),
            };
            return Ok(Begun::Fresh(mutation));
        };
        let before = Fingerprint::from_bytes(&stored.fingerprint);
        let fields = fingerprint.differing(&before, &call.message);
        if !fields.is_empty() {
            return Err(Error::RequestIdReused { request_id, fields });
        }
        sealed::open(
            self.answers.as_ref(),
            call.method,
            &request_id,
            &mut stored.answer,
        )?;
        Ok(Begun::Replayed(replay(&stored)?))
    }
}

impl Mutation {
    /// The transaction to work in.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Commits the outcome and answers with it; undoes the effect of a refusal.
    pub async fn finish<T, E>(mut self, outcome: Result<T, E>) -> Result<Response<T>, Status>
    where
        T: Message,
        E: Into<Status>,
    {
        let outcome = outcome.map_err(Into::into);
        if let Err(status) = &outcome
            && (self.request_id.is_none() || !is_definitive(status.code()))
        {
            return Err(status.clone());
        }
        if let Some(mark) = self.mark.filter(|_| outcome.is_err()) {
            self.tx.undo_to(mark).await?;
        }
        if let Some(request_id) = &self.request_id {
            let mut answer = store::Answer::of(outcome.as_ref());
            sealed::seal(self.keys.as_ref(), self.method, request_id, &mut answer)?;
            store::update(&mut self.tx, self.method, request_id, answer).await?;
        }
        self.tx.commit().await?;
        outcome.map(Response::new)
    }
}

/// Refusals that a retry must not flip. Others (conflicts, overload, faults) are worth trying again.
fn is_definitive(code: Code) -> bool {
    matches!(
        code,
        Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange
    )
}

fn replay<T: Message + Default>(
    stored: &store::Stored,
) -> Result<Result<Response<T>, Status>, Error> {
    let answer = &stored.answer;
    let code = answer.code.and_then(|code| i32::try_from(code).ok());
    let replayed = MetadataValue::from_static("true");
    match code.map(Code::from) {
        Some(Code::Ok) => {
            let message = T::decode(answer.response.as_deref().unwrap_or_default())
                .map_err(|error| Error::Internal(format!("stored response: {error}")))?;
            let mut response = Response::new(message);
            response.metadata_mut().insert(REPLAYED, replayed);
            Ok(Ok(response))
        }
        Some(code) => {
            let details = answer.details.clone().unwrap_or_default().into();
            let message = answer.message.as_deref().unwrap_or_default();
            let mut status = Status::with_details(code, message, details);
            status.metadata_mut().insert(REPLAYED, replayed);
            Ok(Err(status))
        }
        None => Err(Error::Internal(
            "a committed idempotency row has no answer".to_owned(),
        )),
    }
}
