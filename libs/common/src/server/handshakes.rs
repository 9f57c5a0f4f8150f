//! Accepting connections over TLS. A handshake never keeps others waiting: each runs in a task of its own, for a
//! bounded time, and only so many at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::wrappers::ReceiverStream;

use super::connection::Connection;
use crate::config::LOOK_EVERY;
use crate::telemetry::metrics;
use crate::tls::ServerTls;

/// A caller who has not said who it is by then never will.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// All clients of a replica that went away may come at once; strangers who hold more than this are not waited for.
const HANDSHAKES_MAX: usize = 1024;
/// The machine is out of file descriptors, most likely.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

type Ready = mpsc::Sender<io::Result<Connection>>;

/// Connections whose handshake went well. The port closes when the stream is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    tls: ServerTls,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(1);
    tokio::spawn(accept(listener, tls, ready));
    ReceiverStream::new(connections)
}

async fn accept(listener: TcpListener, tls: ServerTls, ready: Ready) {
    let mut handshakes = JoinSet::new();
    // A new certificate is looked at also when nobody calls, so that the metrics tell the truth.
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = ready.closed() => return,
            _ = look.tick() => drop(tls.current()),
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if handshakes.len() < HANDSHAKES_MAX => {
                    handshakes.spawn(shake_hands(stream, tls.current(), ready.clone()));
                }
                Ok(_) => metrics::handshake("refused"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }
}

/// Strangers' mistakes are counted, and logged for those who look for them.
async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>, ready: Ready) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the caller is gone");
        return;
    }
    let handshake = TlsAcceptor::from(config).accept(stream);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => {
            metrics::handshake("ok");
            // Nobody takes it when the server drains; the caller connects elsewhere then.
            let _ = ready.send(Ok(Connection::encrypted(stream))).await;
        }
        Ok(Err(error)) => {
            metrics::handshake("failed");
            tracing::debug!(%error, "TLS handshake failed");
        }
        Err(_) => metrics::handshake("timeout"),
    }
}
