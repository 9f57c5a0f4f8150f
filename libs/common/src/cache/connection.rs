//! Connections to one Redis server or to a Redis Cluster.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo, RedisFuture, RedisResult,
    TlsCertificates, Value,
};

use super::backend::RedisOptions;

/// The dedicated connections carry nothing that a caller waits for.
const TRACKER_PATIENCE: u32 = 5;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where Redis is, and how to use it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The server, or some nodes of a cluster; never empty.
    seeds: Vec<ConnectionInfo>,
    options: RedisOptions,
}

impl Target {
    pub fn parse(url: &str, options: RedisOptions) -> RedisResult<Self> {
        let seeds: Vec<_> = if options.cluster {
            url.split(',').collect()
        } else {
            vec![url]
        };
        let seeds = seeds
            .into_iter()
            .map(|seed| seed.trim().into_connection_info());
        let target = Self {
            seeds: seeds.collect::<RedisResult<_>>()?,
            options,
        };
        // Finds settings that can never work before the process starts to serve.
        for seed in &target.seeds {
            target.client(seed.clone())?;
        }
        Ok(target)
    }

    /// Reads the authorities anew: whoever rotates them need not restart us.
    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match self.certificates()? {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn certificates(&self) -> RedisResult<Option<TlsCertificates>> {
        let Some(file) = &self.options.ca_file else {
            return Ok(None);
        };
        let pem = std::fs::read(file).map_err(|error| {
            let file = file.display();
            let why = format!("{file}: {error}");
            (
                ErrorKind::InvalidClientConfig,
                "cannot read the authorities",
                why,
            )
        })?;
        Ok(Some(TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        }))
    }

    fn first(&self) -> &ConnectionInfo {
        self.seeds
            .first()
            .expect("splitting a text gives one part at least")
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.options.response_timeout))
    }

    /// The connection that values travel on.
    pub async fn connect(&self) -> RedisResult<Connection> {
        if self.options.cluster {
            let builder = ClusterClientBuilder::new(self.seeds.clone())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(self.options.response_timeout);
            let builder = match self.certificates()? {
                Some(certificates) => builder.certs(certificates),
                None => builder,
            };
            let client = builder.build()?;
            return client.get_async_connection().await.map(Connection::Cluster);
        }
        let (client, config) = (self.client(self.first().clone())?, self.config());
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Connection::Single(connection))
    }

    /// A RESP3 connection to one server, which hands pushes to `on_push`.
    pub async fn connect_tracker(
        &self,
        address: ConnectionAddr,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<MultiplexedConnection> {
        let settings = self
            .first()
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let info = self
            .first()
            .clone()
            .set_addr(address)
            .set_redis_settings(settings);
        let push = move |info| {
            on_push(info);
            Ok::<_, std::convert::Infallible>(())
        };
        let patience = self.options.response_timeout * TRACKER_PATIENCE;
        let config = self
            .config()
            .set_response_timeout(Some(patience))
            .set_push_sender(push);
        self.client(info)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// The servers that push invalidations: all masters of a cluster, else the one.
    pub async fn masters(&self, connection: &mut Connection) -> RedisResult<Vec<ConnectionAddr>> {
        if !self.options.cluster {
            return Ok(vec![self.first().addr().clone()]);
        }
        let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(connection)
            .await?;
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
        match self.first().addr().clone() {
            ConnectionAddr::Tcp(asked, _) => {
                Some(ConnectionAddr::Tcp(named.unwrap_or(asked), port))
            }
            ConnectionAddr::TcpTls {
                host: asked,
                insecure,
                tls_params,
                ..
            } => {
                let host = named.unwrap_or(asked);
                Some(ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure,
                    tls_params,
                })
            }
            _ => None,
        }
    }
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
