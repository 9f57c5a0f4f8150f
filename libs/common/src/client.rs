//! Calls to other services: one channel that carries trace, deadline and token along.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, TimeoutExpired};
use tower::Service;
use tracing::{Instrument as _, Span, field};

use crate::error::{Error, Refusal};
use crate::telemetry::{self, metrics};
use crate::{deadline, server};

/// How to call another service.
#[derive(Clone, Debug, Default)]
pub struct ClientConfig {
    /// File with the bearer token. It is read again when it changes.
    pub token_file: Option<PathBuf>,
}

/// Another service. It is the inner service of every generated client: `FeedClient::new(peer)`.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peer {
    channel: Channel,
    token: Option<Arc<TokenFile>>,
}

/// A service at an address like `http://loyalty-points:50051` or `loyalty-points:50051`. The connection is made with the first
/// call and made again whenever it breaks. Call it within the runtime.
pub fn connect(address: &str, config: &ClientConfig) -> Result<Peer, Error> {
    let scheme = if address.contains("://") { "" } else { "http://" };
    let endpoint = Endpoint::from_shared(format!("{scheme}{address}"))
        .map_err(|error| Error::Config(format!("address {address:?}: {error}")))?
        .user_agent(concat!("asterism/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Error::Internal(error.to_string()))?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let token = config.token_file.clone().map(TokenFile::open).transpose()?.map(Arc::new);
    Ok(Peer { channel: endpoint.connect_lazy(), token })
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = Call::new(server::method_label(request.uri().path()));
        telemetry::inject(&call.span, request.headers_mut());
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.bearer());
        }
        if pass_deadline_on(request.headers_mut()) == Some(Duration::ZERO) {
            return Box::pin(async { Ok(exceeded().into_http()) });
        }
        let span = call.span.clone();
        let answer = self.channel.call(request);
        Box::pin(async move { call.finish(answer.await) }.instrument(span))
    }
}

/// Sends what is left of our own caller's time, unless the call has a shorter deadline already.
fn pass_deadline_on(headers: &mut HeaderMap) -> Option<Duration> {
    let left = deadline::remaining()?;
    let own = deadline::from_headers(headers);
    if own.is_some_and(|own| own <= left) {
        return own;
    }
    headers.insert("grpc-timeout", deadline::to_header(left));
    Some(left)
}

/// A call under way.
struct Call {
    rpc: &'static str,
    span: Span,
    began: Instant,
}

impl Call {
    fn new(rpc: &'static str) -> Self {
        let span = tracing::info_span!(
            "rpc",
            otel.name = rpc,
            otel.kind = "client",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc,
            rpc.response.status_code = field::Empty,
        );
        Self { rpc, span, began: Instant::now() }
    }

    /// Ends the measurement when the answer begins; what follows on a stream is the reader's time.
    fn finish(
        self,
        answer: Result<Response<Body>, tonic::transport::Error>,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        let answer = match answer {
            Err(error) if is_timeout(&error) => Ok(exceeded().into_http()),
            answer => answer,
        };
        let code = match &answer {
            Ok(response) => {
                let status = response.headers().get(Status::GRPC_STATUS);
                status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
            }
            Err(_) => Code::Unavailable,
        };
        let name = metrics::code_name(code);
        metrics::rpc_called(self.rpc, name, self.began.elapsed());
        self.span.record("rpc.response.status_code", name);
        if code != Code::Ok {
            self.span.record("otel.status_code", "ERROR");
        }
        answer
    }
}

/// tonic's client would call it CANCELLED.
fn is_timeout(error: &tonic::transport::Error) -> bool {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error + 'static>::is::<TimeoutExpired>)
}

fn exceeded() -> Status {
    let message = "deadline exceeded; the outcome of a write is unknown";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).into_status()
}

/// A token in a file that somebody else keeps fresh.
#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
    state: Mutex<Token>,
}

#[derive(Debug)]
struct Token {
    bearer: HeaderValue,
    modified: Option<SystemTime>,
    looked: Instant,
}

impl TokenFile {
    const LOOK_EVERY: Duration = Duration::from_secs(1);

    fn open(path: PathBuf) -> Result<Self, Error> {
        let modified = std::fs::metadata(&path).and_then(|file| file.modified()).ok();
        let bearer = Self::read(&path).map_err(Error::Config)?;
        Ok(Self { path, state: Mutex::new(Token { bearer, modified, looked: Instant::now() }) })
    }

    fn bearer(&self) -> HeaderValue {
        let mut token = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if token.looked.elapsed() >= Self::LOOK_EVERY {
            token.looked = Instant::now();
            let modified = std::fs::metadata(&self.path).and_then(|file| file.modified()).ok();
            if modified != token.modified {
                match Self::read(&self.path) {
                    Ok(bearer) => (token.bearer, token.modified) = (bearer, modified),
                    Err(error) => tracing::warn!(error, "token not read, the old one stays"),
                }
            }
        }
        token.bearer.clone()
    }

    fn read(path: &std::path::Path) -> Result<HeaderValue, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("token file {name}: {e}"))?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", text.trim()))
            .map_err(|_| format!("token file {name} does not hold a token"))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }
}
