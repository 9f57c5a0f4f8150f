//! What a projection gets, and what it may answer.

use std::future::Future;

use api::feed::v1 as pb;
use prost::{Message, Name};
use tracing::Instrument as _;

use crate::db::Tx;
use crate::error::Error;
use crate::ids::CustomerId;
use crate::telemetry;
use crate::time::Timestamp;

/// A change of another service.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where it stands in the feed.
    pub position: String,
    /// UUIDv7.
    pub event_id: String,
    /// Whom it concerns.
    pub customer_id: CustomerId,
    /// The customer's revision in the other service after it.
    pub revision: i64,
    /// When the other service recorded it.
    pub recorded_at: Timestamp,
    /// The other service's event message.
    pub payload: prost_types::Any,
    /// Trace of the request that caused it; empty when untraced.
    pub traceparent: String,
}

impl Event {
    /// The message if it is of that type, `None` if it is of another.
    pub fn unpack<M: Message + Name + Default>(&self) -> Result<Option<M>, ApplyError> {
        if self.payload.type_url != M::type_url() {
            return Ok(None);
        }
        M::decode(self.payload.value.as_slice())
            .map(Some)
            .map_err(|error| ApplyError::Poison(format!("malformed {}: {error}", M::NAME)))
    }

    /// Runs what it causes within a span that continues the trace of the request that caused it.
    pub async fn traced<T>(&self, work: impl Future<Output = T>) -> T {
        if self.traceparent.is_empty() {
            return work.await;
        }
        let span = tracing::info_span!("apply", event.id = self.event_id);
        telemetry::set_parent(&span, &self.traceparent);
        work.instrument(span).await
    }

    pub(crate) fn to_proto(&self) -> pb::Event {
        pb::Event {
            position: self.position.clone(),
            event_id: self.event_id.clone(),
            customer_id: self.customer_id.to_string(),
            revision: self.revision,
            recorded_at: Some(self.recorded_at.into()),
            payload: Some(self.payload.clone()),
            traceparent: self.traceparent.clone(),
        }
    }
}

impl TryFrom<pb::Event> for Event {
    type Error = Error;

    fn try_from(event: pb::Event) -> Result<Self, Error> {
        let malformed = |what: String| Error::Internal(format!("event {}: {what}", event.event_id));
        Ok(Self {
            customer_id: CustomerId::parse(&event.customer_id).map_err(malformed)?,
            recorded_at: Timestamp::try_from(&event.recorded_at.unwrap_or_default())
                .map_err(malformed)?,
            position: event.position,
            event_id: event.event_id,
            revision: event.revision,
            payload: event.payload.unwrap_or_default(),
            traceparent: event.traceparent,
        })
    }
}

/// Why an event was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Trouble that is not the event's: tried again until it passes.
    #[error(transparent)]
    Retry(Error),
    /// The event cannot be applied: parked after a few attempts.
    #[error("{0}")]
    Poison(String),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        if is_of_the_content(&error) {
            Self::Poison(error.to_string())
        } else {
            Self::Retry(error.into())
        }
    }
}

/// A constraint or a range that the event's content exceeds will be exceeded next time too.
fn is_of_the_content(error: &sqlx::Error) -> bool {
    use sqlx::error::ErrorKind::{
        CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation,
    };
    let Some(database) = error.as_database_error() else {
        // SQLite turns an integer that grows too large into a number that is none.
        return matches!(error, sqlx::Error::ColumnDecode { .. });
    };
    let constraint = matches!(
        database.kind(),
        CheckViolation | ForeignKeyViolation | NotNullViolation | UniqueViolation
    );
    // Class 22 of PostgreSQL: data exceptions. SQLite has no code for its only one.
    let code = database.code().unwrap_or_default();
    constraint
        || (code.len() == 5 && code.starts_with("22"))
        || database.message() == "integer overflow"
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            error => Self::Retry(error),
        }
    }
}

/// Keeps a service's own view of another service's facts.
pub trait Projection: Clone + Send + Sync + 'static {
    /// Applies one event in a transaction that it neither commits nor keeps. Events of one customer come
    /// in order; types it does not know are ignored.
    fn apply(
        &self,
        tx: &mut Tx,
        event: &Event,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Applies events in their order, all or none. For projections that read or write many at once.
    fn apply_all(
        &self,
        tx: &mut Tx,
        events: &[Event],
    ) -> impl Future<Output = Result<(), ApplyError>> + Send {
        async move {
            for event in events {
                event.traced(self.apply(tx, event)).await?;
            }
            Ok(())
        }
    }
}
