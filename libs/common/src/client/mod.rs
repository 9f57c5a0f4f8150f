//! Calls to other services: one channel that carries trace, deadline and token along.

mod call;

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use crate::config::{PeerAccessConfig, Reread};
use crate::deadline;
use crate::error::Error;
use crate::telemetry;
use crate::tls::Connector;
use call::Call;

/// How often a read is sent before its caller hears of the trouble.
const ATTEMPTS_MAX: u32 = 3;

/// How to call another service.
#[derive(Clone, Debug, Default)]
pub struct ClientConfig {
    /// File with the bearer token. It is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// Authorities whose certificates are believed, in PEM; the files of TLS are read again when they change, too.
    pub ca_file: Option<PathBuf>,
    /// Certificate to show, and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Name that the other side's certificate must bear, if it is not the host of the address.
    pub tls_name: Option<String>,
}

impl From<&PeerAccessConfig> for ClientConfig {
    fn from(access: &PeerAccessConfig) -> Self {
        let certificate = access.peer_certificate_file.clone();
        Self {
            token_file: access.peer_token_file.clone(),
            ca_file: access.peer_ca_file.clone(),
            pair: certificate.zip(access.peer_key_file.clone()),
            tls_name: access.peer_tls_name.clone(),
        }
    }
}

/// Another service. It is the inner service of every generated client: `FeedClient::new(peer)`.
/// Cheap to clone.
///
/// Trouble on the way is UNAVAILABLE with reason `CONNECTION_LOST`. Reads are tried again at once,
/// since a connection that the server retires may take the call that is being sent with it.
#[derive(Clone, Debug)]
pub struct Peer {
    channel: Channel,
    token: Option<Arc<Reread<HeaderValue>>>,
}

/// A service at an address like `https://loyalty-points:50051` or `loyalty-points:50051`. With authorities to
/// believe it is called over TLS, without in plaintext. The connection is made with the first call and made again
/// whenever it breaks. Call it within the runtime.
pub fn connect(address: &str, config: &ClientConfig) -> Result<Peer, Error> {
    let scheme = match (address.contains("://"), &config.ca_file) {
        (true, _) => "",
        (false, Some(_)) => "https://",
        (false, None) => "http://",
    };
    let endpoint = Endpoint::from_shared(format!("{scheme}{address}"))
        .map_err(|error| Error::Config(format!("address {address:?}: {error}")))?
        .user_agent(concat!("asterism/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Error::Internal(error.to_string()))?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let token = config
        .token_file
        .clone()
        .map(|file| Reread::open("peer-token", file, bearer))
        .transpose()?;
    let channel = match connector(&endpoint, address, config)? {
        None => endpoint.connect_lazy(),
        Some(connector) => endpoint.connect_with_connector_lazy(connector),
    };
    Ok(Peer {
        channel,
        token: token.map(Arc::new),
    })
}

/// `None` for plaintext. Settings that would send a token in plaintext by mistake are refused.
fn connector(
    endpoint: &Endpoint,
    address: &str,
    config: &ClientConfig,
) -> Result<Option<Connector>, Error> {
    let name = config.tls_name.as_deref();
    match (endpoint.uri().scheme_str(), config.ca_file.clone()) {
        (Some("https"), Some(ca)) => Connector::open(ca, config.pair.clone(), name).map(Some),
        (Some("http"), None) => Ok(None),
        (Some("https"), None) => Err(Error::Config(format!(
            "address {address:?}: set --peer-ca-file to the authorities whose certificates are believed"
        ))),
        (Some("http"), Some(_)) => Err(Error::Config(format!(
            "address {address:?} is plaintext although --peer-ca-file is set: write https://"
        ))),
        _ => Err(Error::Config(format!(
            "address {address:?}: write it like http://loyalty-points:50051"
        ))),
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| "does not hold a token".to_owned())?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = Call::begin(request.uri().path());
        telemetry::inject(&call.span, request.headers_mut());
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.get());
        }
        if pass_deadline_on(request.headers_mut()) == Some(Duration::ZERO) {
            return Box::pin(async move { Ok(call.expired()) });
        }
        // The channel that was made ready is the one to call.
        let spare = self.channel.clone();
        let channel = std::mem::replace(&mut self.channel, spare);
        let span = call.span.clone();
        let work = async move {
            let answer = if is_read(request.uri().path()) {
                send_again(channel, request).await
            } else {
                send(channel, request).await
            };
            Ok(call.end(answer))
        };
        Box::pin(work.instrument(span))
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

/// Whether calling it twice is the same as calling it once, as its scope says.
fn is_read(path: &str) -> bool {
    api::method(path).is_some_and(|method| {
        !method.client_streaming
            && method
                .scope
                .is_some_and(|scope| scope.rsplit('.').next() == Some("read"))
    })
}

type Answer = Result<Response<Body>, tonic::transport::Error>;

async fn send(mut channel: Channel, request: Request<Body>) -> Answer {
    channel.ready().await?.call(request).await
}

async fn send_again(channel: Channel, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(message) = body.collect().await.map(Collected::to_bytes) else {
        // The message cannot be encoded; sending it says why.
        return send(channel, Request::from_parts(parts, Body::empty())).await;
    };
    let mut attempts = 1;
    loop {
        let body = Body::new(Full::new(message.clone()));
        let answer = send(channel.clone(), Request::from_parts(parts.clone(), body)).await;
        match answer {
            Err(error) if !call::is_timeout(&error) && attempts < ATTEMPTS_MAX => attempts += 1,
            answer => return answer,
        }
    }
}
