//! Response bodies that tell how the call ended, and bodies that end before their stream does.

use std::pin::Pin;

use axum::body::{Body, Bytes};
use futures::stream::unfold;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use tonic::{Code, Status};

/// Ends a response body early, with this status.
pub(super) type Ending = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Code of a response without a body, or of trailers. `None` when the status is yet to come.
pub(super) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(Status::GRPC_STATUS)
        .map(|status| Code::from_bytes(status.as_bytes()))
}

/// Calls `on_status` with the code in the trailers. A body that is dropped before its trailers drops
/// `on_status` uncalled: the caller went away.
pub(super) fn observe(body: Body, on_status: impl FnOnce(Code) + Send + 'static) -> Body {
    let mut on_status = Some(on_status);
    Body::new(body.map_frame(move |frame| {
        if let Some(trailers) = frame.trailers_ref()
            && let Some(on_status) = on_status.take()
        {
            // A stream that ends without a status breaks the protocol; clients call it UNKNOWN.
            on_status(code_in(trailers).unwrap_or(Code::Unknown));
        }
        frame
    }))
}

/// Streams `body` until `ending` completes, then ends it with that status.
pub(super) fn until(body: Body, ending: Ending) -> Body {
    let frames = unfold(Some((body, ending)), async |state| {
        let (mut body, mut ending) = state?;
        tokio::select! {
            biased;
            frame = body.frame() => frame.map(|frame| (frame, Some((body, ending)))),
            status = &mut ending => {
                let mut last = Empty::<Bytes>::new()
                    .map_err(|never| match never {})
                    .with_trailers(std::future::ready(trailers(&status)));
                last.frame().await.map(|frame| (frame, None))
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

fn trailers<E>(status: &Status) -> Option<Result<HeaderMap, E>> {
    let mut trailers = HeaderMap::new();
    // Adding fails only for details longer than a header may be; the stream then ends bare.
    status.add_header(&mut trailers).ok().map(|()| Ok(trailers))
}
