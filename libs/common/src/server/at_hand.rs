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
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::Method;
use axum::body::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Either};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, request};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::authentication::Callers;
use super::deadline::Arrived;
use super::frames;
use super::observe::Call;
use super::patience::Patience;
use super::stack::Stack;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

type Request = http::Request<Body>;
type Response = http::Response<Body>;
type Answer = Result<Response, Infallible>;

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

/// What came of a look, if it came to an end.
type Finding = BoxFuture<'static, Option<Looked<Bytes>>>;

trait Find: Send + Sync {
    fn find(self: Arc<Self>, message: Bytes) -> Finding;
}

impl<L: Lookup> Find for L {
    fn find(self: Arc<Self>, message: Bytes) -> Finding {
        let find = async move {
            let Ok(request) = L::Request::decode(message) else {
                return Looked::Unknown;
            };
            match Lookup::find(&*self, request).await {
                Looked::Found(answer) => Looked::Found(frames::encode(&answer)),
                Looked::Missed => Looked::Missed,
                Looked::Unknown => Looked::Unknown,
            }
        };
        Box::pin(AssertUnwindSafe(find).catch_unwind().map(Result::ok))
    }
}

#[derive(Clone)]
struct Known {
    method: &'static Method,
    lookup: Arc<dyn Find>,
}

/// The lookups of a server, by path.
#[derive(Clone, Default)]
pub struct Lookups(HashMap<&'static str, Known>);

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Lookups {
    /// Adds one.
    pub fn add<L: Lookup>(&mut self, lookup: L) {
        let method = api::method(L::PATH).expect("a lookup is a method of ours");
        let lookup = Arc::new(lookup);
        self.0.insert(L::PATH, Known { method, lookup });
    }
}

/// All of a server: what is at hand, and the ordinary way.
#[derive(Clone)]
pub(super) struct Front(Arc<Inner>);

struct Inner {
    lookups: Lookups,
    callers: Callers,
    places: Arc<Semaphore>,
    /// Many clients send a message in a packet of its own, after the headers. A body that takes longer than that is
    /// waited for on the ordinary way, where the call has its place and its deadline.
    for_bodies: Patience,
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
            for_bodies: Patience::new(),
            ordinary,
        }))
    }
}

impl tower::Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // Taken while the call is made and not when it is first polled.
        let arrived = Arrived(Instant::now());
        let inner = Arc::clone(&self.0);
        let Some(known) = inner.lookups.0.get(request.uri().path()).cloned() else {
            return Either::Right(Box::pin(inner.ordinary(request, arrived)));
        };
        let (head, mut body) = request.into_parts();
        let mut look = Look {
            read: frames::Arrived::of(&mut body),
            head,
            body,
            arrived,
            known,
            begun: None,
        };
        // What is in memory is found at the first look.
        match look.at_once(&inner) {
            Some(answer) => Either::Left(ready(Ok(answer))),
            None => Either::Right(Box::pin(look.go_on(inner))),
        }
    }
}

impl Inner {
    async fn ordinary(self: Arc<Self>, mut request: Request, arrived: Arrived) -> Answer {
        request.extensions_mut().insert(arrived);
        let Ok(answer) = self.ordinary.clone().oneshot(request).await;
        Ok(answer.map(Body::new))
    }

    /// Whether the ordinary way would let the call through to its handler.
    fn admits(&self, head: &request::Parts, method: &Method) -> bool {
        let plain = head.headers.get(CONTENT_TYPE) == Some(&GRPC);
        let may = || {
            let caller = self.callers.identify(&head.headers, &head.extensions);
            caller.ok()?.may(method.scope?).then_some(())
        };
        plain && head.method == http::Method::POST && may().is_some()
    }
}

/// A request whose answer may be at hand.
struct Look {
    head: request::Parts,
    body: Body,
    /// What of the body has been read.
    read: frames::Arrived,
    arrived: Arrived,
    known: Known,
    begun: Option<Begun>,
}

/// A look under way.
struct Begun {
    call: Call,
    finding: Finding,
    _place: OwnedSemaphorePermit,
}

impl Look {
    /// The answer, if it is found without waiting.
    fn at_once(&mut self, inner: &Inner) -> Option<Response> {
        self.begin(inner);
        let begun = self.begun.as_mut()?;
        let looked = (&mut begun.finding).now_or_never()?;
        self.end(looked)
    }

    /// The answer, however long it takes.
    async fn go_on(mut self, inner: Arc<Inner>) -> Answer {
        if !self.read.is_clear() {
            let rest = self.read.read_on(&mut self.body);
            let _ = inner.for_bodies.wait(rest).await;
            self.begin(&inner);
        }
        if let Some(begun) = &mut self.begun {
            let deadline = crate::deadline::from_headers(&self.head.headers)
                .and_then(|budget| self.arrived.0.checked_add(super::deadline::before(budget)));
            let looked = match (&mut begun.finding).now_or_never() {
                Some(looked) => looked,
                None => match deadline {
                    Some(deadline) => {
                        let found = timeout_at(deadline, &mut begun.finding).await;
                        found.ok().flatten()
                    }
                    None => (&mut begun.finding).await,
                },
            };
            if let Some(answer) = self.end(looked) {
                return Ok(answer);
            }
        }
        let request = Request::from_parts(self.head, self.read.before(self.body));
        inner.ordinary(request, self.arrived).await
    }

    /// Begins to look, if the message is there and nothing is in the way.
    fn begin(&mut self, inner: &Inner) {
        if let Some(message) = self.read.message()
            && inner.admits(&self.head, self.known.method)
            && let Ok(place) = Arc::clone(&inner.places).try_acquire_owned()
        {
            let rpc = &self.known.method.path[1..];
            self.begun = Some(Begun {
                call: Call::begin(rpc, &self.head.headers, self.arrived.0.into_std()),
                finding: Arc::clone(&self.known.lookup).find(message),
                _place: place,
            });
        }
    }

    /// The answer that was found. If there is none, whoever handles the request further takes the call on.
    fn end(&mut self, looked: Option<Looked<Bytes>>) -> Option<Response> {
        let Begun { call, .. } = self.begun.take()?;
        match looked {
            Some(Looked::Found(found)) => {
                call.ended(Code::Ok);
                return Some(respond(found));
            }
            Some(Looked::Missed) => drop(self.head.extensions.insert(NotAtHand)),
            Some(Looked::Unknown) | None => {}
        }
        call.goes_on(&mut self.head.extensions);
        None
    }
}

fn respond(message: Bytes) -> Response {
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(message).with_trailers(ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
