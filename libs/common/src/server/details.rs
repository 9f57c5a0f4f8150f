//! Layer: statuses that tonic makes itself get the `ErrorInfo` that every error carries, and a code that
//! says whose fault it is.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::{authorisation, panic};
use crate::error::Refusal;

/// The largest request message, tonic's default; larger ones are refused before they are read.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) async fn layer(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    // Handlers answer refusals without a body, so their status is in the headers.
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            explained(&status, &path).into_http()
        }
        _ => response,
    }
}

/// tonic tells its failures apart by message only.
fn explained(status: &Status, path: &str) -> Status {
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("message length too large") => too_large(),
        Code::ResourceExhausted if message.contains("decompressing") => too_large(),
        Code::Internal if is_malformed(message) => Refusal::new(
            Code::InvalidArgument,
            "MALFORMED_MESSAGE",
            "the request is not a message of this method",
        )
        .into_status(),
        Code::Unimplemented if message.is_empty() => authorisation::unknown(path),
        Code::Unimplemented => {
            Refusal::new(Code::Unimplemented, "ENCODING_UNSUPPORTED", message).into_status()
        }
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(rpc.method = path, error = message, "call failed");
            panic::internal()
        }
        code => Refusal::new(code, reason(code), message).into_status(),
    }
}

fn too_large() -> Status {
    Refusal::new(
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
        format!("a message may have at most {MESSAGE_BYTES_MAX} bytes; split it"),
    )
    .with("bytes_max", MESSAGE_BYTES_MAX)
    .into_status()
}

fn is_malformed(message: &str) -> bool {
    [
        "failed to decode Protobuf",
        "Missing request message",
        "Unexpected EOF",
        "protocol error",
    ]
    .iter()
    .any(|known| message.contains(known))
        || message.starts_with("Error decompressing")
}

/// The general reason where nobody gave a better one.
fn reason(code: Code) -> &'static str {
    crate::telemetry::metrics::code_name(code)
}
