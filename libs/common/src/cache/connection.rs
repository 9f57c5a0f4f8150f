//! Connections to one Redis server or to a Redis Cluster.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo, RedisFuture,
    RedisResult, Value,
};

/// How long a caller waits for Redis before the database is asked.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);

/// The dedicated connections carry nothing a caller waits for.
const TRACKER_TIMEOUT: Duration = Duration::from_millis(500);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where Redis is.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub info: ConnectionInfo,
    pub cluster: bool,
}

impl Target {
    pub fn parse(url: &str, cluster: bool) -> RedisResult<Self> {
        let target = Self { info: url.into_connection_info()?, cluster };
        // Finds settings that can never work before the process starts to serve.
        Client::open(target.info.clone())?;
        Ok(target)
    }

    /// The connection that values travel on.
    pub async fn connect(&self) -> RedisResult<Connection> {
        if self.cluster {
            let client = ClusterClientBuilder::new([self.info.clone()])
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .build()?;
            return client.get_async_connection().await.map(Connection::Cluster);
        }
        let client = Client::open(self.info.clone())?;
        let connection = client.get_multiplexed_async_connection_with_config(&config()).await?;
        Ok(Connection::Single(connection))
    }

    /// A RESP3 connection to one server, which hands pushes to `on_push`.
    pub async fn connect_tracker(
        &self,
        address: ConnectionAddr,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<MultiplexedConnection> {
        let settings = self.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = self.info.clone().set_addr(address).set_redis_settings(settings);
        let push = move |info| {
            on_push(info);
            Ok::<_, std::convert::Infallible>(())
        };
        let config = config().set_response_timeout(Some(TRACKER_TIMEOUT)).set_push_sender(push);
        Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The servers that push invalidations: all masters of a cluster, else the one.
    pub async fn masters(&self, connection: &mut Connection) -> RedisResult<Vec<ConnectionAddr>> {
        if !self.cluster {
            return Ok(vec![self.info.addr().clone()]);
        }
        let slots: Vec<Vec<Value>> =
            redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
        let mut masters = Vec::new();
        for range in slots {
            // A range is its first slot, its last slot, the master, the replicas.
            let master = range.get(2).and_then(|node| self.address(node));
            let Some(master) = master else {
                return Err((ErrorKind::Parse, "CLUSTER SLOTS names no master").into());
            };
            if !masters.contains(&master) {
                masters.push(master);
            }
        }
        masters.sort_by_cached_key(ToString::to_string);
        Ok(masters)
    }

    /// A node is its address, its port, its id, …; without an address it is where we asked.
    fn address(&self, node: &Value) -> Option<ConnectionAddr> {
        let Value::Array(node) = node else {
            return None;
        };
        let host: Option<String> = redis::from_redis_value_ref(node.first()?).ok()?;
        let port: u16 = redis::from_redis_value_ref(node.get(1)?).ok()?;
        let named = host.filter(|host| !host.is_empty());
        match self.info.addr().clone() {
            ConnectionAddr::Tcp(asked, _) => Some(ConnectionAddr::Tcp(named.unwrap_or(asked), port)),
            ConnectionAddr::TcpTls { host: asked, insecure, tls_params, .. } => {
                let host = named.unwrap_or(asked);
                Some(ConnectionAddr::TcpTls { host, port, insecure, tls_params })
            }
            _ => None,
        }
    }
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
}

/// To one server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
