//! Private Redis servers.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::certificates::Issued;
use crate::scratch::{self, Supervisor};

/// Names the server that the `testkit` binary started.
pub(crate) const VARIABLE: &str = "TESTKIT_REDIS";

/// A redis-server of one test's own, to be stopped, started and flushed at will. It ends when this
/// value is dropped or the process ends.
pub struct RedisServer {
    /// Where it listens, for example `redis://127.0.0.1:40123`.
    pub url: String,
    port: u16,
    encrypted: bool,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
    _supervisor: Supervisor,
}

impl RedisServer {
    /// Starts a server; panics saying what to install when there is none.
    pub(crate) fn launch() -> Self {
        Self::launch_with(None)
    }

    /// With a certificate it speaks TLS only.
    fn launch_with(certificate: Option<&Issued>) -> Self {
        const ATTEMPTS: u32 = 10;
        assert!(
            scratch::find_program("redis-server").is_some(),
            "redis-server is needed: on Debian `apt-get install redis-server`, elsewhere put it on \
             the PATH"
        );
        let folder = scratch::folder("redis");
        if let Some(pair) = certificate {
            let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
            let written = write("tls.crt", &pair.certificate).and(write("tls.key", &pair.key));
            written.expect("the folder is ours");
        }
        let stop = [
            "redis-cli",
            "-s",
            &folder.join("socket").display().to_string(),
            "shutdown",
        ]
        .map(String::from);
        let supervisor = Supervisor::watch(&folder, &stop);
        let mut server = Self {
            url: String::new(),
            port: 0,
            encrypted: certificate.is_some(),
            folder,
            process: Mutex::new(None),
            _supervisor: supervisor,
        };
        // Somebody may take the free port between our look and the server's start.
        for attempt in 1.. {
            server.port = free_port();
            let scheme = if server.encrypted { "rediss" } else { "redis" };
            server.url = format!("{scheme}://127.0.0.1:{}", server.port);
            if server.spawn() {
                return server;
            }
            assert!(
                attempt < ATTEMPTS,
                "redis-server does not start: {}",
                server.log()
            );
        }
        unreachable!("the loop returns or panics")
    }

    /// Kills the server without notice, as a crash would.
    pub fn stop(&self) {
        if let Some(mut process) = self.process.lock().expect("no holder panics").take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Starts it again on the same port, empty.
    pub fn start(&self) {
        for _ in 0..20 {
            if self.spawn() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("redis-server does not start again: {}", self.log());
    }

    /// Removes every key.
    pub fn flush(&self) {
        self.cli(&["flushall"]);
    }

    /// Runs redis-cli against this server and returns what it prints.
    pub fn cli(&self, words: &[&str]) -> String {
        scratch::run(
            Command::new("redis-cli")
                .args(["-p", &self.port.to_string()])
                .args(words),
        )
    }

    /// Starts the process and waits until it answers; false if it ended at once.
    fn spawn(&self) -> bool {
        let port = self.port.to_string();
        let ports: &[&str] = if self.encrypted {
            &[
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
            ]
        } else {
            &["--port", &port]
        };
        let certificate: &[&str] = if self.encrypted {
            &["--tls-cert-file", "tls.crt", "--tls-key-file", "tls.key"]
        } else {
            &[]
        };
        let mut child = Command::new("redis-server")
            .args(ports)
            .args(certificate)
            .args(["--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args([
                "--unixsocket",
                &self.folder.join("socket").display().to_string(),
            ])
            .args(["--logfile", &self.folder.join("log").display().to_string()])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run redis-server: {error}"));
        for _ in 0..500 {
            if child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if self.answers() {
                *self.process.lock().expect("no holder panics") = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("it is our child");
        panic!("redis-server does not answer: {}", self.log());
    }

    /// Asks over the socket in our folder, so that the answer cannot be another server's.
    fn answers(&self) -> bool {
        Command::new("redis-cli")
            .args([
                "-s",
                &self.folder.join("socket").display().to_string(),
                "ping",
            ])
            .stderr(Stdio::null())
            .output()
            .is_ok_and(|output| output.stdout.starts_with(b"PONG"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a redis-server of the calling test's own.
pub async fn redis() -> RedisServer {
    tokio::task::spawn_blocking(RedisServer::launch)
        .await
        .expect("starting redis-server panicked")
}

/// Starts a redis-server of the calling test's own that speaks TLS only, with a certificate for 127.0.0.1. Its
/// [`cli`](RedisServer::cli) does not.
pub async fn encrypted_redis(certificate: Issued) -> RedisServer {
    tokio::task::spawn_blocking(move || RedisServer::launch_with(Some(&certificate)))
        .await
        .expect("starting redis-server panicked")
}

/// The URL of the Redis that all tests share: for tests that use keys of their own and leave the
/// server alone.
pub async fn shared_redis_url() -> String {
    static OWN: OnceLock<RedisServer> = OnceLock::new();
    let url = || {
        std::env::var(VARIABLE).unwrap_or_else(|_| OWN.get_or_init(RedisServer::launch).url.clone())
    };
    tokio::task::spawn_blocking(url)
        .await
        .expect("starting redis-server panicked")
}

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
