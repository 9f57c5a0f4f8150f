//! The W3C trace context (`traceparent`) in and out of spans.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Whether spans go anywhere.
static RECORDS: AtomicBool = AtomicBool::new(false);

pub(super) fn spans_are_recorded() {
    RECORDS.store(true, Ordering::Relaxed);
}

/// Whether spans go anywhere: without an endpoint they only give logs their context.
pub(crate) fn records_spans() -> bool {
    RECORDS.load(Ordering::Relaxed)
}

/// Context of the current span, to be stored with what it causes; empty when it is not traced.
pub fn traceparent() -> String {
    let mut carrier = HeaderMap::new();
    inject(&Span::current(), &mut carrier);
    let value = carrier
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Makes `span` a child of the span that `traceparent` names. Call it before the span is entered:
/// afterwards it has no effect. An empty or malformed context leaves the span a root.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Ok(value) = HeaderValue::from_str(traceparent) else {
        return;
    };
    set_parent_from(
        span,
        &HeaderMap::from_iter([(HeaderName::from_static("traceparent"), value)]),
    );
}

/// As [`set_parent`], with the context in the headers of a request.
pub fn set_parent_from(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if parent.span().span_context().is_valid() {
        // Fails only where spans are not traced at all.
        let _ = span.set_parent(parent);
    }
}

/// Adds the context of `span` to the headers of a request.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}

/// The trace that `span` belongs to, for logs; `None` when it is not traced.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let id = span.span_context();
    id.is_valid().then(|| id.trace_id().to_string())
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        let value = HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            self.0.insert(name, value);
        }
    }
}
