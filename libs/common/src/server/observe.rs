//! Layer: one span and one measurement for each call, from its arrival to its last byte.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, HeaderMap};
use tonic::Code;
use tracing::{Instrument as _, Span, field};

use super::{body, method};
use crate::telemetry::{self, metrics};

pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let call = Call::taken_on(&mut request);
    let span = call.span.clone();
    let response = next.run(request).instrument(span).await;
    if let Some(code) = body::code_in(response.headers()) {
        call.ended(code);
        return response;
    }
    response.map(|body| body::observe(body, |code| call.ended(code)))
}

/// The caller's context becomes the parent before the span is entered: afterwards it is too late.
fn span(rpc: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        otel.name = rpc,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = rpc,
        rpc.response.status_code = field::Empty,
        trace_id = field::Empty,
    );
    telemetry::set_parent_from(&span, headers);
    if let Some(trace_id) = telemetry::trace_id(&span) {
        span.record("trace_id", trace_id);
    }
    span
}

/// A call under way. Dropped before it ended, it was given up by the caller.
pub(super) struct Call {
    rpc: &'static str,
    span: Span,
    began: Instant,
    code: Option<Code>,
}

/// A call that goes on where the request goes, in its extensions, which want to be cloned.
#[derive(Clone)]
struct Begun(Arc<Mutex<Option<Call>>>);

impl Call {
    /// A call that will hardly log anything: it has a span only where spans are recorded.
    pub fn begin(rpc: &'static str, headers: &HeaderMap, began: Instant) -> Self {
        let recorded = telemetry::records_spans().then(|| span(rpc, headers));
        Self {
            rpc,
            span: recorded.unwrap_or_else(Span::none),
            began,
            code: None,
        }
    }

    /// It ended with this code.
    pub fn ended(mut self, code: Code) {
        self.code = Some(code);
    }

    /// It did not end: whoever handles the request further takes it on.
    pub fn goes_on(self, extensions: &mut Extensions) {
        extensions.insert(Begun(Arc::new(Mutex::new(Some(self)))));
    }

    /// The call that the request has begun, or a new one; with a span.
    fn taken_on(request: &mut Request) -> Self {
        let begun = request.extensions_mut().remove::<Begun>();
        let begun = begun
            .and_then(|Begun(call)| call.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut call = begun.unwrap_or_else(|| {
            let rpc = method::label(request.uri().path());
            Self::begin(rpc, request.headers(), Instant::now())
        });
        if call.span.is_none() {
            call.span = span(call.rpc, request.headers());
        }
        call
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let code = self.code.unwrap_or(Code::Cancelled);
        let status = metrics::code_name(code);
        metrics::rpc_served(self.rpc, status, elapsed);
        if !self.span.is_disabled() {
            self.span.record("rpc.response.status_code", status);
            if metrics::is_server_fault(code) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        self.span.in_scope(|| {
            tracing::debug!(
                rpc.method = self.rpc,
                rpc.status = status,
                ?elapsed,
                "call ended"
            );
        });
    }
}
