//! A Redis Cluster of two masters: values and invalidations come from both.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::cache::{CacheBackend, RedisOptions};
use redis::aio::MultiplexedConnection;

use super::support::{
    Cache, Rows, eventually, key, options, patient, versioned, wait_until_online,
};

/// Enough to fall on both masters.
const KEYS: usize = 20;

struct Node {
    port: u16,
    bus: u16,
    connection: MultiplexedConnection,
    process: Child,
}

impl Node {
    async fn start(folder: &Path) -> Self {
        // All at once, so that they differ.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, bus] = free.map(|listener| listener.local_addr().unwrap().port());
        let (port_text, bus_text) = (port.to_string(), bus.to_string());
        // The shell's standard input ends with this process, however that ends.
        let process = Command::new("sh")
            .args([
                "-c",
                r#"redis-server "$@" >/dev/null 2>&1 & cat; kill -9 $!; wait"#,
                "sh",
            ])
            .args(["--port", &port_text, "--bind", "127.0.0.1", "--save", ""])
            .args(["--cluster-enabled", "yes", "--cluster-port", &bus_text])
            .args(["--cluster-config-file", &format!("{port}.conf")])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server and sh are needed");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        eventually("the node answers", async || {
            client.get_multiplexed_async_connection().await.is_ok()
        })
        .await;
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self {
            port,
            bus,
            connection,
            process,
        }
    }

    async fn cluster(&self, words: &[&str]) -> String {
        let mut connection = self.connection.clone();
        redis::cmd("CLUSTER")
            .arg(words)
            .query_async(&mut connection)
            .await
            .unwrap()
    }

    /// Whether this node knows that both halves of the slots are served.
    async fn agrees(&self) -> bool {
        let info = self.cluster(&["INFO"]).await;
        info.contains("cluster_state:ok") && info.contains("cluster_size:2")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Closes the shell's standard input first.
        let _ = self.process.wait();
    }
}

async fn start_cluster(folder: &Path) -> [Node; 2] {
    let nodes = [Node::start(folder).await, Node::start(folder).await];
    nodes[0].cluster(&["ADDSLOTSRANGE", "0", "8191"]).await;
    nodes[1].cluster(&["ADDSLOTSRANGE", "8192", "16383"]).await;
    let (port, bus) = (nodes[1].port.to_string(), nodes[1].bus.to_string());
    nodes[0].cluster(&["MEET", "127.0.0.1", &port, &bus]).await;
    for node in &nodes {
        eventually("the cluster agrees", async || node.agrees().await).await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_serves_and_invalidates_from_every_master() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = start_cluster(folder.path()).await;
    let url = format!("redis://127.0.0.1:{}", nodes[0].port);
    let patient_cluster = RedisOptions {
        cluster: true,
        ..patient()
    };
    let near = CacheBackend::redis_with(&url, patient_cluster.clone())
        .await
        .unwrap();
    let far = CacheBackend::redis_with(&url, patient_cluster)
        .await
        .unwrap();
    for backend in [&near, &far] {
        wait_until_online(backend, true).await;
    }
    let (reader, writer) = (
        Cache::new(&near, "tier", options()),
        Cache::new(&far, "tier", options()),
    );
    let rows = Rows::with(KEYS);
    for number in 0..KEYS {
        rows.warm(&reader, number).await;
    }
    for number in 0..KEYS {
        writer.put(&key(number), &rows.commit(number)).await;
    }
    for number in 0..KEYS {
        eventually("the new version", async || {
            rows.get(&reader, number).await == 2
        })
        .await;
    }
    let wanted: Vec<_> = (0..KEYS).map(|number| (key(number), 2)).collect();
    let unreachable = async |_| panic!("they are cached");
    let found = writer
        .get_many(&wanted, |_| true, unreachable)
        .await
        .unwrap();
    assert!(found.into_iter().all(|found| found == Some(versioned(2))));

    let [_first, second] = nodes;
    drop(second);
    wait_until_online(&near, false).await;
    for number in 0..KEYS {
        let newest = rows.commit(number);
        writer.put(&key(number), &newest).await;
        assert_eq!(
            rows.get_at_least(&reader, number, newest.version).await,
            newest.version
        );
    }
}
