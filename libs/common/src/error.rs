//! Errors as callers see them (AIP-193): a code, one `ErrorInfo` with a stable reason, and details.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::sealing::SealError;
use crate::validate::Violations;

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "asterism";

/// Longer texts are cut: a status travels in headers, of which some clients take no more than 8 KiB.
const TEXT_BYTES_MAX: usize = 500;
/// Violations are listed up to this size, for the same reason.
const VIOLATION_BYTES_MAX: usize = 3000;
/// What the retries of gRPC clients go by: they do not read `RetryInfo`. Below zero tells them not to try again.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Tells a caller why a request was refused.
#[derive(Debug)]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    violations: Violations,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// `reason` is `UPPER_SNAKE`, at most 63 characters, and never changes once published.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            violations: Violations::new(),
            retry_after: None,
        }
    }

    /// Adds a value that a program can read.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a `BadRequest` with every violation.
    #[must_use]
    pub fn violations(mut self, violations: Violations) -> Self {
        self.violations = violations;
        self
    }

    /// As a gRPC status with its details, cut to what fits: it may quote whatever a caller sent.
    pub fn into_status(self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata = self.metadata.into_iter();
        let metadata: HashMap<_, _> = metadata.map(|(key, text)| (key, cut(text))).collect();
        details.set_error_info(self.reason, DOMAIN, metadata);
        let mut bytes = 0;
        for violation in self.violations.iter() {
            let (field, description) = (&violation.field, &violation.description);
            let (field, description) = (cut(field.clone()), cut(description.clone()));
            bytes += field.len() + description.len();
            if bytes > VIOLATION_BYTES_MAX {
                break;
            }
            details.add_bad_request_violation(field, description);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        let mut status = Status::with_error_details(self.code, cut(self.message), details);
        let pushback = match self.retry_after {
            Some(delay) => Some(i64::try_from(delay.as_millis()).expect("a delay is short")),
            // Too large stays too large, and has the code of an overload.
            None => (self.code == Code::ResourceExhausted).then_some(-1),
        };
        if let Some(pushback) = pushback {
            status.metadata_mut().insert(PUSHBACK, pushback.into());
        }
        status
    }
}

/// What of an error programs read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorInfo {
    /// `UPPER_SNAKE`; empty where the status has none.
    pub reason: String,
    /// Values by their names.
    pub metadata: HashMap<String, String>,
}

impl ErrorInfo {
    /// Reads the details of a status.
    pub fn of(status: &Status) -> Self {
        let info = status.get_details_error_info();
        info.map_or_else(Self::default, |info| Self {
            reason: info.reason,
            metadata: info.metadata,
        })
    }
}

/// A text as far as it fits into a status.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("...");
    }
    text
}

/// What can go wrong in any service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is malformed.
    #[error("invalid request: {}", describe(.0))]
    Invalid(Violations),
    /// The etag is not the current one.
    #[error("etag {given} is not the current {current}: read the resource again")]
    EtagMismatch {
        /// From the request.
        given: String,
        /// Of the resource.
        current: String,
    },
    /// The idempotency key was used for another request.
    #[error("request_id {request_id} was used for a request that differs in: {}", fields.join(", "))]
    RequestIdReused {
        /// The key.
        request_id: String,
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// This database has not yet seen what the caller's consistency token asks for.
    #[error("the data is not yet as new as the consistency token asks for: try again")]
    Behind,
    /// A feed position that this feed did not hand out.
    #[error("position is malformed or of another feed")]
    InvalidPosition,
    /// No feed of that name here.
    #[error("feed {0:?} is not served here")]
    FeedNotFound(String),
    /// The database was restored: positions of before mean nothing now.
    #[error(
        "the feed was restored from a backup: what was read after the position to resume from may never have been"
    )]
    FeedEpochChanged {
        /// Up to here the reader has read what the feed holds; `None` where that is not known.
        resume: Option<String>,
    },
    /// The position is older than what is kept.
    #[error("changes after that position are compacted away: continue from {earliest}")]
    PositionCompacted {
        /// The earliest position to continue from.
        earliest: String,
    },
    /// No consumer of that name here.
    #[error("consumer {0:?} does not run here")]
    ConsumerNotFound(String),
    /// The event is not among the parked.
    #[error("event {0} is not parked")]
    ParkedEventNotFound(String),
    /// The caller's deadline passed while waiting.
    #[error("the deadline passed while waiting")]
    DeadlineExceeded,
    /// Another transaction did the same at the same moment: nothing happened, trying again is right.
    #[error("the transaction met another one: try again")]
    Contended,
    /// The database refused, failed, or cannot be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// Migrations failed.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something sealed does not open.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// A setting is wrong: the process stops before any port opens.
    #[error("{0}")]
    Config(String),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

fn describe(violations: &Violations) -> String {
    let each: Vec<_> = violations
        .iter()
        .map(|v| format!("{} {}", v.field, v.description))
        .collect();
    each.join("; ")
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        refusal(error).into_status()
    }
}

fn refusal(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::Invalid(violations) => {
            Refusal::new(Code::InvalidArgument, "INVALID_REQUEST", message).violations(violations)
        }
        Error::EtagMismatch { current, .. } => {
            Refusal::new(Code::Aborted, "ETAG_MISMATCH", message).with("current", current)
        }
        Error::RequestIdReused { request_id, fields } => {
            Refusal::new(Code::InvalidArgument, "REQUEST_ID_REUSED", message)
                .with("request_id", request_id)
                .with("fields", fields.join(","))
        }
        Error::Behind => Refusal::new(Code::Unavailable, "PROJECTION_BEHIND", message)
            .retry_after(Duration::from_millis(100)),
        Error::InvalidPosition => Refusal::new(Code::InvalidArgument, "INVALID_POSITION", message),
        Error::FeedNotFound(source) => {
            Refusal::new(Code::NotFound, "FEED_NOT_FOUND", message).with("source", source)
        }
        Error::FeedEpochChanged { resume } => {
            let refusal = Refusal::new(Code::FailedPrecondition, "FEED_EPOCH_CHANGED", message);
            match resume {
                Some(position) => refusal.with("resume_position", position),
                None => refusal,
            }
        }
        Error::PositionCompacted { earliest } => {
            Refusal::new(Code::OutOfRange, "POSITION_COMPACTED", message)
                .with("earliest_position", earliest)
        }
        Error::ConsumerNotFound(consumer) => {
            Refusal::new(Code::NotFound, "CONSUMER_NOT_FOUND", message).with("consumer", consumer)
        }
        Error::ParkedEventNotFound(event) => {
            Refusal::new(Code::NotFound, "PARKED_EVENT_NOT_FOUND", message).with("event_id", event)
        }
        Error::DeadlineExceeded => {
            Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
        }
        Error::Contended => conflict(),
        Error::Database(error) => database_refusal(&error),
        Error::Sealed(error) => error.refusal(),
        Error::Migration(_) | Error::Config(_) | Error::Internal(_) => internal(&message),
    }
}

fn conflict() -> Refusal {
    let message = "the transaction met another one: try again";
    Refusal::new(Code::Aborted, "TRANSACTION_CONFLICT", message)
        .retry_after(Duration::from_millis(20))
}

/// Trouble that passes is told apart from trouble that does not.
fn database_refusal(error: &sqlx::Error) -> Refusal {
    if is_conflict(error) {
        return conflict();
    }
    if is_unavailable(error) {
        tracing::warn!(error = %error, "database unavailable");
        return Refusal::new(
            Code::Unavailable,
            "DATABASE_UNAVAILABLE",
            "the database cannot be reached or is too busy: try again",
        )
        .retry_after(Duration::from_millis(200));
    }
    internal(&error.to_string())
}

/// Serialisation failures and deadlocks: nothing happened, trying again is right.
pub fn is_conflict(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    // The last two are SQLite's BUSY and BUSY_SNAPSHOT: another process has the file.
    matches!(code.as_deref(), Some("40001" | "40P01" | "5" | "517"))
}

/// The database, not the statement, was the trouble.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        // Classes 57, 08 and 53 of PostgreSQL: shutting down, starting up, statement timed out (it waited
        // for a lock, or the machine is overloaded), connection lost, out of connections, memory or disk.
        other => other
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| {
                code.len() == 5
                    && ["57", "08", "53"]
                        .iter()
                        .any(|class| code.starts_with(class))
            }),
    }
}

/// Logs the cause once, here, and tells the caller nothing of it.
fn internal(cause: &str) -> Refusal {
    tracing::error!(error = cause, "internal error");
    Refusal::new(Code::Internal, "INTERNAL", "internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_try_again_is_told_when_in_details_and_to_grpc_itself() {
        let later = |code| Refusal::new(code, "X", "x").retry_after(Duration::from_millis(200));
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            let status = later(code).into_status();
            assert_eq!(status.metadata().get(PUSHBACK).unwrap(), "200");
            let info = status.get_details_retry_info().unwrap();
            assert_eq!(info.retry_delay, Some(Duration::from_millis(200)));
        }
        let never = Refusal::new(Code::ResourceExhausted, "X", "x").into_status();
        assert_eq!(never.metadata().get(PUSHBACK).unwrap(), "-1");
        assert!(never.get_details_retry_info().is_none());
        let unsaid = Refusal::new(Code::Unavailable, "X", "x").into_status();
        assert!(unsaid.metadata().is_empty());
    }

    #[test]
    fn a_status_fits_into_headers_whatever_it_quotes() {
        let mut violations = Violations::new();
        for i in 0..1000 {
            violations.add(format!("ids[{i}]"), "é".repeat(2000));
        }
        let status = Refusal::new(Code::InvalidArgument, "X", "é".repeat(100_000))
            .with("given", "é".repeat(100_000))
            .violations(violations)
            .into_status();
        let headers = status.into_http::<()>().headers().clone();
        let bytes: usize = headers.values().map(http::HeaderValue::len).sum();
        assert!(bytes < 8000, "{bytes}");
    }
}
