//! Ports and limits.

use std::net::SocketAddr;
use std::time::Duration;

use super::{TlsConfig, duration, socket};

/// Where a server listens and what it puts up with.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerConfig {
    /// Address of the gRPC API. Without authentication only loopback is accepted.
    #[arg(long, env = "ASTERISM_LISTEN", value_parser = socket, default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Address of the ops port: health, /metrics, /livez and /readyz in plaintext.
    #[arg(long, env = "ASTERISM_OPS_LISTEN", value_parser = socket, default_value = "127.0.0.1:9090")]
    pub ops_listen: SocketAddr,
    /// Deadline of unary calls that bring none.
    #[arg(long, env = "ASTERISM_DEADLINE", value_parser = duration, default_value = "30s")]
    pub deadline: Duration,
    /// Calls worked on at once; more are told to come back later.
    #[arg(long, env = "ASTERISM_CALLS_MAX", default_value_t = 1024)]
    pub calls_max: usize,
    /// Streams that one connection may have open.
    #[arg(
        long,
        env = "ASTERISM_STREAMS_PER_CONNECTION_MAX",
        default_value_t = 1024
    )]
    pub streams_per_connection_max: u32,
    /// Connections are asked to reconnect at about this age, so that load spreads over new replicas.
    #[arg(long, env = "ASTERISM_CONNECTION_AGE_MAX", value_parser = duration, default_value = "5m")]
    pub connection_age_max: Duration,
    /// Idle connections are pinged this often.
    #[arg(long, env = "ASTERISM_KEEPALIVE_INTERVAL", value_parser = duration, default_value = "30s")]
    pub keepalive_interval: Duration,
    /// A ping that is not answered for this long ends the connection.
    #[arg(long, env = "ASTERISM_KEEPALIVE_TIMEOUT", value_parser = duration, default_value = "20s")]
    pub keepalive_timeout: Duration,
    /// After SIGTERM the server is unready for this long before it stops accepting, so that load
    /// balancers notice.
    #[arg(long, env = "ASTERISM_DRAIN_DELAY", value_parser = duration, default_value = "0s")]
    pub drain_delay: Duration,
    /// Then calls have this long to finish before they are cut.
    #[arg(long, env = "ASTERISM_DRAIN_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub drain_timeout: Duration,
    /// Encryption of the API port.
    #[command(flatten)]
    pub tls: TlsConfig,
}

impl ServerConfig {
    /// Defaults on free ports of loopback, for tests and embedded servers.
    pub fn on_free_ports() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: free,
            ops_listen: free,
            ..Self::default()
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        super::defaults()
    }
}
