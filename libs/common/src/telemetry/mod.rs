//! Logs, traces and metrics.
//!
//! Logs go to stderr, traces to an OTLP endpoint if one is configured, metrics wait on the ops port
//! ([`metrics`]). [`trace`] carries the W3C trace context in and out.

mod capture;
mod consumers;
mod lookups;
pub mod metrics;
mod setup;
mod trace;

pub use capture::{Spans, init_for_test};
pub use setup::{Guard, init};
pub(crate) use trace::records_spans;
pub use trace::{inject, set_parent, set_parent_from, trace_id, traceparent};
