//! One call under way: its span, its measurement, and a status for whatever went wrong on the way.

use std::time::Instant;

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status, TimeoutExpired};
use tracing::{Span, field};

use crate::error::Refusal;
use crate::server;
use crate::telemetry::metrics;

pub(super) struct Call {
    rpc: &'static str,
    pub span: Span,
    began: Instant,
}

impl Call {
    pub fn begin(path: &str) -> Self {
        let rpc = server::method_label(path);
        let span = tracing::info_span!(
            "rpc",
            otel.name = rpc,
            otel.kind = "client",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc,
            rpc.response.status_code = field::Empty,
        );
        Self {
            rpc,
            span,
            began: Instant::now(),
        }
    }

    /// The deadline passed before anything was sent.
    pub fn expired(self) -> Response<Body> {
        self.end_with(Code::DeadlineExceeded, exceeded().into_http())
    }

    /// Ends the measurement when the answer begins; what follows on a stream is the reader's time.
    pub fn end(self, answer: Result<Response<Body>, tonic::transport::Error>) -> Response<Body> {
        match answer {
            Ok(response) => {
                let status = response.headers().get(Status::GRPC_STATUS);
                let code = status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()));
                self.end_with(code, response)
            }
            Err(error) if is_timeout(&error) => {
                self.end_with(Code::DeadlineExceeded, exceeded().into_http())
            }
            Err(error) => {
                let rpc = self.rpc;
                self.end_with(Code::Unavailable, lost(rpc, &error).into_http())
            }
        }
    }

    fn end_with(self, code: Code, response: Response<Body>) -> Response<Body> {
        let name = metrics::code_name(code);
        metrics::rpc_called(self.rpc, name, self.began.elapsed());
        self.span.record("rpc.response.status_code", name);
        if code != Code::Ok {
            self.span.record("otel.status_code", "ERROR");
        }
        response
    }
}

/// tonic's client would call it CANCELLED.
pub(super) fn is_timeout(error: &tonic::transport::Error) -> bool {
    causes(error).any(<dyn std::error::Error + 'static>::is::<TimeoutExpired>)
}

fn causes(
    error: &tonic::transport::Error,
) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source())
}

fn exceeded() -> Status {
    let message = "deadline exceeded; the outcome of a write is unknown";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).into_status()
}

/// The causes tell an operator what to repair; they hold addresses, and no data.
fn lost(rpc: &str, error: &tonic::transport::Error) -> Status {
    let why: Vec<_> = causes(error).map(ToString::to_string).collect();
    let message = format!("cannot reach {rpc}: {}", why.join(": "));
    Refusal::new(Code::Unavailable, "CONNECTION_LOST", message).into_status()
}
