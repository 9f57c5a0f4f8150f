//! The server kit: what every server does around its services.
//!
//! [`bind`] opens both ports, [`Bound::serve`] answers on them until it is told to stop. [`stack`]
//! lists what happens to a request on its way to a handler, [`at_hand`] which ones need not go that way. Invariant: this module knows no service.

mod at_hand;
mod authentication;
mod authorisation;
mod body;
mod completion;
mod connection;
mod deadline;
mod details;
mod drain;
mod frames;
mod handshakes;
mod health;
mod method;
mod observe;
mod ops;
mod panic;
mod patience;
mod shed;
mod stack;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use futures::future::{BoxFuture, ready};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use rand::Rng as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

pub use at_hand::{Looked, Lookup, Lookups, NotAtHand};
pub use details::MESSAGE_BYTES_MAX;
pub use drain::{Drain, draining};
pub use health::Health;
pub(crate) use method::label as method_label;

use crate::auth::{Authenticator, CertificateScopes};
use crate::config::ServerConfig;
use crate::error::Error;
use crate::tls::ServerTls;
use at_hand::Front;
use authentication::Callers;
use connection::Connection;

/// How long connections may take to say goodbye once nothing runs on them any more.
const GOODBYE: Duration = Duration::from_secs(1);
/// Room for a token with many scopes, and for little else.
const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// Calls that a connection may have taken back before they were looked at.
const RESETS_MAX: usize = 1024;

/// A server whose ports are open. Nothing is answered before [`Bound::serve`].
#[derive(Debug)]
pub struct Bound {
    api: TcpListener,
    ops: TcpListener,
    tls: Option<ServerTls>,
    certificates: Option<CertificateScopes>,
    config: ServerConfig,
}

/// What a server answers with.
#[derive(Debug, Default)]
pub struct Serve {
    /// The services.
    pub routes: Routes,
    /// What of them may be answered before the layers.
    pub lookups: Lookups,
    /// Their names, for health: `NamedService::NAME`.
    pub health_names: Vec<String>,
    /// Checks tokens. A server without one, and without certificates of callers, listens on loopback only.
    pub authenticator: Option<Authenticator>,
    /// Shared with whatever streams or works in the background.
    pub drain: Drain,
}

/// What a server waits for before it serves.
pub struct Unready {
    /// What is missing, for whoever asks why it is not ready.
    pub reason: String,
    /// Completes when nothing is missing any more.
    pub until: BoxFuture<'static, ()>,
}

/// Opens both ports. Refuses addresses beyond loopback unless callers are authenticated.
pub async fn bind(config: ServerConfig, authenticated: bool) -> Result<Bound, Error> {
    refuse_open(&config, config.listen, authenticated)?;
    let tls = ServerTls::open(&config.tls)?;
    let certificates = certificates(&config, authenticated)?;
    Ok(Bound {
        api: listen("--listen", config.listen).await?,
        ops: listen("--ops-listen", config.ops_listen).await?,
        tls,
        certificates,
        config,
    })
}

impl Bound {
    /// Where the services are reached.
    pub fn api_addr(&self) -> SocketAddr {
        self.api
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// Where health and metrics are reached.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// Answers until `shutdown`, then drains: unready, wait for load balancers to notice, end streams,
    /// finish calls, and after the grace period cut what remains.
    pub async fn serve(self, serve: Serve, shutdown: CancellationToken) -> Result<(), Error> {
        let at_once = Unready {
            reason: String::new(),
            until: ready(()).boxed(),
        };
        self.serve_after(at_once, serve, shutdown).await
    }

    /// Like [`serve`](Self::serve), but as long as something is missing the server is unready, says on its ops port
    /// why, and turns callers away.
    pub async fn serve_after(
        self,
        unready: Unready,
        serve: Serve,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        refuse_open(&self.config, self.api_addr(), serve.authenticator.is_some())?;
        let config = self.config;
        let drain = serve.drain;
        let health = Health::new(serve.health_names).await;
        // The ops port answers to the very end: probes must be able to see a server drain.
        let ops = tonic::transport::Server::builder()
            .accept_http1(true)
            .serve_with_incoming(ops::routes(&health), incoming(self.ops));
        let ops = tokio::spawn(ops);
        health.set_reason(unready.reason);
        tokio::select! {
            biased;
            () = unready.until => {}
            () = shutdown.cancelled() => {
                ops.abort();
                return Ok(());
            }
            () = turn_away(&self.api) => {}
        }
        health.set_reason("the server is shutting down".to_owned());
        let tasks = TaskTracker::new();
        let open = reflection().merge(health.routes().reset_fallback());
        let services = serve.routes.into_axum_router().fallback(unknown);
        let places = Arc::new(Semaphore::new(config.calls_max));
        let callers = Callers::new(serve.authenticator, self.certificates);
        let parts = stack::Parts {
            unary_deadline: config.deadline,
            places: Arc::clone(&places),
            callers: callers.clone(),
            drain: drain.clone(),
            running: completion::Running {
                tasks: tasks.clone(),
                drain: drain.clone(),
            },
        };
        let stack = stack::stack(open, services, parts);
        let front = Front::new(serve.lookups, callers, places, stack);
        let draining = drain.clone().begun_owned();
        let connections = match self.tls {
            None => incoming(self.api).map_ok(Connection::plain).left_stream(),
            Some(tls) => handshakes::incoming(self.api, tls).right_stream(),
        };
        let api = grpc(&config).serve_with_incoming_shutdown(front, connections, draining);
        // Tracked like the handlers: it is done when its last connection is.
        let api = tasks.spawn(api);
        health.set_serving(true).await;
        shutdown.cancelled().await;
        tracing::info!(drain_delay = ?config.drain_delay, "shutting down");
        health.set_serving(false).await;
        tokio::time::sleep(config.drain_delay).await;
        drain.begin();
        tasks.close();
        if timeout(config.drain_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(drain_timeout = ?config.drain_timeout, "cutting what still runs");
            drain.cut_now();
            // Not for ever: a peer that never completes its handshake never closes (hyper #4170).
            let _ = timeout(GOODBYE, tasks.wait()).await;
            api.abort();
        }
        ops.abort();
        Ok(())
    }
}

/// Whether these settings make sense: only loopback may be listened on without authentication, and files must be
/// of use. [`bind`] checks it, too; this is for those who have more to do before a port opens.
pub fn check(config: &ServerConfig, authenticated: bool) -> Result<(), Error> {
    refuse_open(config, config.listen, authenticated)?;
    ServerTls::open(&config.tls)?;
    certificates(config, authenticated).map(drop)
}

/// What certificates stand for, where callers must have one.
fn certificates(
    config: &ServerConfig,
    authenticated: bool,
) -> Result<Option<CertificateScopes>, Error> {
    let tls = &config.tls;
    match (&tls.client_ca_file, &tls.client_scopes_file) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::Config(
            "--tls-client-scopes-file needs --tls-client-ca-file: callers without a certificate have no name"
                .to_owned(),
        )),
        (Some(_), None) if !authenticated => Err(Error::Config(
            "--tls-client-ca-file lets callers in who may then do nothing: set --tls-client-scopes-file, or \
             --auth-jwks-file"
                .to_owned(),
        )),
        (Some(_), scopes) => CertificateScopes::open(scopes.clone()).map(Some),
    }
}

fn refuse_open(
    config: &ServerConfig,
    address: SocketAddr,
    authenticated: bool,
) -> Result<(), Error> {
    let authenticated = authenticated || config.tls.client_ca_file.is_some();
    if authenticated || address.ip().is_loopback() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "without authentication only loopback may be listened on, not {address}: set \
         --auth-jwks-file or --tls-client-ca-file, or --listen 127.0.0.1:{}",
        address.port(),
    )))
}

/// Callers hear at once that nobody serves them here, and try elsewhere.
async fn turn_away(listener: &TcpListener) {
    loop {
        if let Err(error) = listener.accept().await {
            tracing::debug!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn listen(flag: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::Config(format!(
            "cannot listen on {address}: {error}; choose another with {flag}"
        ))
    })
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

fn grpc(config: &ServerConfig) -> tonic::transport::Server {
    // tonic's own grace for old connections is not used: with it, it closes them without GOAWAY.
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout))
        .max_concurrent_streams(config.streams_per_connection_max)
        .max_connection_age(jittered(config.connection_age_max))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        // A caller that gives up on many calls at once is no attacker: with h2's limit of 20 all its
        // other calls on the connection would fail.
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
}

/// Spreads the end of connections, so that replicas that started together do not lose theirs at once.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// Both versions: many tools still speak v1alpha only.
fn reflection() -> Router {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Error details, so that a client that knows our API by reflection can read them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let why = "the build wrote a descriptor set";
    Routes::new(builder().build_v1().expect(why))
        .add_service(builder().build_v1alpha().expect(why))
        .into_axum_router()
        .reset_fallback()
}

async fn unknown(uri: http::Uri) -> Response {
    authorisation::unknown(uri.path()).into_http()
}
