//! Lookups whose answer is at hand, in memory or in Redis, are answered before the layers.
//!
//! Most layers exist for calls that work or wait: a task of their own, timers, a place among those that are worked
//! on. A lookup that is found needs none of that, and where it is found in memory they cost more than it does. So it
//! is tried first: who calls and whether they may is checked by the same code, the call is traced and counted by the
//! same code, and if anything at all is in the way (nothing is found, the request is malformed, the caller may not, the
//! server is full) the call goes the ordinary way as if nothing had happened, and is answered or refused there.
//! Invariant: the only answer given here is a good one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::authentication::Callers;
use super::deadline::Arrived;
use super::frames;
use super::observe::Call;
use super::stack::Stack;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Many clients send a message in a packet of its own, after the headers. A body that takes longer than this is waited
/// for on the ordinary way, where the call has its place and its deadline.
const BODY_PATIENCE: Duration = Duration::from_millis(10);

type Request = http::Request<Body>;

/// A unary method that may find its answer without working for it.
pub trait Lookup: Send + Sync + 'static {
    /// What it is asked.
    type Request: Message + Default;
    /// What it answers.
    type Answer: Message;
    /// Full path, like `/package.Service/Method`.
    const PATH: &'static str;

    /// Looks. May be dropped at any await.
    fn find(&self, request: Self::Request) -> impl Future<Output = Looked<Self::Answer>> + Send;
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked<A> {
    /// The answer.
    Found(A),
    /// All places were looked at. The ordinary handler need not look at them again: the request that it is given
    /// carries a [`NotAtHand`].
    Missed,
    /// It was not looked for, or not everywhere.
    Unknown,
}

/// An extension of a request whose answer was looked for, and was not at hand.
#[derive(Debug, Clone, Copy)]
pub struct NotAtHand;

trait Find: Send + Sync {
    fn find<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Looked<Bytes>>;
}

impl<L: Lookup> Find for L {
    fn find<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Looked<Bytes>> {
        Box::pin(async move {
            let Ok(request) = L::Request::decode(message) else {
                return Looked::Unknown;
            };
            match Lookup::find(self, request).await {
                Looked::Found(answer) => Looked::Found(frames::encode(&answer)),
                Looked::Missed => Looked::Missed,
                Looked::Unknown => Looked::Unknown,
            }
        })
    }
}

/// The lookups of a server, by path.
#[derive(Clone, Default)]
pub struct Lookups(HashMap<&'static str, Arc<dyn Find>>);

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Lookups {
    /// Adds one.
    pub fn add<L: Lookup>(&mut self, lookup: L) {
        self.0.insert(L::PATH, Arc::new(lookup));
    }
}

/// All of a server: what is at hand, and the ordinary way.
#[derive(Clone)]
pub(super) struct Front(Arc<Inner>);

struct Inner {
    lookups: Lookups,
    callers: Callers,
    places: Arc<Semaphore>,
    ordinary: Stack,
}

impl Front {
    pub fn new(
        lookups: Lookups,
        callers: Callers,
        places: Arc<Semaphore>,
        ordinary: Stack,
    ) -> Self {
        Self(Arc::new(Inner {
            lookups,
            callers,
            places,
            ordinary,
        }))
    }
}

impl tower::Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // Taken while the call is made and not when it is first polled.
        let arrived = Arrived(Instant::now());
        request.extensions_mut().insert(arrived);
        let inner = Arc::clone(&self.0);
        if !inner.lookups.0.contains_key(request.uri().path()) {
            return Box::pin(inner.ordinary.clone().oneshot(request));
        }
        Box::pin(async move {
            match inner.at_hand(request, arrived).await {
                Ok(answer) => Ok(answer),
                Err(request) => inner.ordinary.clone().oneshot(request).await,
            }
        })
    }
}

impl Inner {
    /// The answer, or the request as it was.
    async fn at_hand(&self, request: Request, arrived: Arrived) -> Result<Response, Request> {
        let (mut head, mut body) = request.into_parts();
        let mut read = frames::Arrived::of(&mut body);
        if !read.is_clear() {
            let _ = timeout(BODY_PATIENCE, read.read_on(&mut body)).await;
        }
        if let Some(message) = read.message()
            && self.admits(&head)
        {
            let call = Call::begin(&head.uri, &head.headers);
            match self.find(&head, message, arrived).await {
                Some(Looked::Found(found)) => {
                    call.ended(Code::Ok);
                    return Ok(respond(found));
                }
                Some(Looked::Missed) => drop(head.extensions.insert(NotAtHand)),
                Some(Looked::Unknown) | None => {}
            }
            call.goes_on(&mut head.extensions);
        }
        Err(Request::from_parts(head, read.before(body)))
    }

    /// Whether the ordinary way would let the call through to its handler.
    fn admits(&self, head: &http::request::Parts) -> bool {
        let plain = head.headers.get(CONTENT_TYPE) == Some(&GRPC);
        let identity = || self.callers.identify(&head.headers, &head.extensions).ok();
        let may = || {
            let method = api::method(head.uri.path())?;
            identity()?.may(method.scope?).then_some(())
        };
        plain && head.method == http::Method::POST && may().is_some()
    }

    /// `None` where it was given up.
    async fn find(
        &self,
        head: &http::request::Parts,
        message: &[u8],
        Arrived(arrived): Arrived,
    ) -> Option<Looked<Bytes>> {
        let lookup = self.lookups.0.get(head.uri.path())?;
        let _place = self.places.try_acquire().ok()?;
        let mut finding = AssertUnwindSafe(lookup.find(message)).catch_unwind();
        // What is in memory is found at the first look.
        let found = match (&mut finding).now_or_never() {
            Some(found) => found,
            None => match crate::deadline::from_headers(&head.headers) {
                Some(budget) => {
                    let deadline = arrived.checked_add(super::deadline::before(budget))?;
                    timeout_at(deadline, finding).await.ok()?
                }
                None => finding.await,
            },
        };
        found.ok()
    }
}

fn respond(message: Bytes) -> Response {
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(message).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(axum::body::Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
