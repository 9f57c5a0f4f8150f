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
    incoming_at_most(HANDSHAKES_MAX, listener, tls)
}

fn incoming_at_most(
    handshakes_max: usize,
    listener: TcpListener,
    tls: ServerTls,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(1);
    tokio::spawn(accept(handshakes_max, listener, tls, ready));
    ReceiverStream::new(connections)
}

async fn accept(handshakes_max: usize, listener: TcpListener, tls: ServerTls, ready: Ready) {
    let mut handshakes = JoinSet::new();
    // A new certificate is looked at also when nobody calls, so that the metrics tell the truth.
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = ready.closed() => return,
            _ = look.tick() => drop(tls.current()),
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if handshakes.len() < handshakes_max => {
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::tls::issued::{self, Pair};

    type Connections = ReceiverStream<io::Result<Connection>>;

    /// A port with so many places for callers who have not said who they are.
    async fn open(places: usize) -> (SocketAddr, Connections) {
        let folder = tempfile::tempdir().unwrap();
        Pair::until(2100).write(folder.path());
        let tls = ServerTls::open(&issued::config(folder.path()))
            .unwrap()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, incoming_at_most(places, listener, tls))
    }

    /// Whether the other side closes before it has said anything.
    async fn closed(mut caller: TcpStream) -> bool {
        let mut answer = Vec::new();
        let read = caller.read_to_end(&mut answer).await;
        read.is_err() || answer.is_empty()
    }

    /// Time passes as soon as nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_caller_who_says_nothing_is_left_after_a_while() {
        let (address, _connections) = open(1).await;
        let silent = TcpStream::connect(address).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(closed(silent).await);
        assert!(began.elapsed() >= HANDSHAKE);
    }

    #[tokio::test]
    async fn who_finds_no_place_is_refused_at_once() {
        let (address, _connections) = open(1).await;
        let silent = TcpStream::connect(address).await.unwrap();
        // Accepted in the order in which they came.
        let refused = TcpStream::connect(address).await.unwrap();
        assert!(closed(refused).await);
        let mut nothing = [0; 1];
        let still_open = silent.try_read(&mut nothing);
        assert_eq!(still_open.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn the_port_closes_with_the_stream() {
        let (address, connections) = open(1).await;
        let waiting = TcpStream::connect(address).await.unwrap();
        drop(connections);
        assert!(closed(waiting).await);
        // The task that accepts ends in its own time.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
