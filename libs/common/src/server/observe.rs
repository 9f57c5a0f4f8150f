//! Layer: one span and one measurement for each call, from its arrival to its last byte.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Code;
use tracing::{Instrument as _, Span, field};

use super::{body, method};
use crate::telemetry::{self, metrics};

pub(super) async fn layer(request: Request, next: Next) -> Response {
    let rpc = method::label(request.uri().path());
    let span = span(rpc, &request);
    let call = Call {
        rpc,
        span: span.clone(),
        began: Instant::now(),
        code: None,
    };
    let response = next.run(request).instrument(span).await;
    if let Some(code) = body::code_in(response.headers()) {
        call.ended(code);
        return response;
    }
    response.map(|body| body::observe(body, |code| call.ended(code)))
}

/// The caller's context becomes the parent before the span is entered: afterwards it is too late.
fn span(rpc: &'static str, request: &Request) -> Span {
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
    telemetry::set_parent_from(&span, request.headers());
    if let Some(trace_id) = telemetry::trace_id(&span) {
        span.record("trace_id", trace_id);
    }
    span
}

/// A call under way. Dropped before it ended, it was given up by the caller.
struct Call {
    rpc: &'static str,
    span: Span,
    began: Instant,
    code: Option<Code>,
}

impl Call {
    fn ended(mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let code = self.code.unwrap_or(Code::Cancelled);
        let status = metrics::code_name(code);
        metrics::rpc_served(self.rpc, status, elapsed);
        self.span.record("rpc.response.status_code", status);
        if metrics::is_server_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
        self.span
            .in_scope(|| tracing::debug!(rpc.status = status, ?elapsed, "call ended"));
    }
}
