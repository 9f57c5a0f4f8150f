//! Private PostgreSQL clusters.
//!
//! Every test process starts one cluster when it first needs one, unless the `testkit` binary
//! started one for all of them. Fault tests start clusters of their own with [`Cluster::start`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::certificates::Issued;
use crate::scratch::{self, Supervisor};

/// Names the server that the `testkit` binary started: a URL without a database name.
pub(crate) const VARIABLE: &str = "TESTKIT_POSTGRES";

const OLDEST_SUPPORTED: u32 = 15;

const SETTINGS: &str = "
listen_addresses = ''
max_connections = 800
log_min_messages = warning
log_min_error_statement = panic
";
/// Durability ends where the machine stops: tests kill processes, not the machine.
const HASTY: &str = "
shared_buffers = 64MB
fsync = off
full_page_writes = off
";
/// As in production, for benchmarks: an acknowledged commit survives the loss of power.
const DURABLE: &str = "
shared_buffers = 1GB
fsync = on
full_page_writes = on
synchronous_commit = on
";

/// A PostgreSQL server of our own. It ends, and its data go, when this value is dropped or the
/// process ends.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    _supervisor: Supervisor,
}

impl Cluster {
    /// Starts a new, empty cluster; panics saying what to install when there is no PostgreSQL.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(HASTY)
    }

    /// Starts a new, empty cluster that keeps its promises also when the power fails, as production does.
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_with(DURABLE)
    }

    /// Starts a cluster that also listens on a port of 127.0.0.1, over TLS with this certificate only.
    #[must_use]
    pub fn start_encrypted(certificate: &Issued, port: u16) -> Self {
        let settings = format!(
            "{HASTY}
listen_addresses = '127.0.0.1'
port = {port}
ssl = on
ssl_cert_file = 'tls.crt'
ssl_key_file = 'tls.key'
"
        );
        Self::prepared(&settings, Some(certificate))
    }

    fn start_with(settings: &str) -> Self {
        Self::prepared(settings, None)
    }

    fn prepared(settings: &str, certificate: Option<&Issued>) -> Self {
        let bin = programs();
        let folder = scratch::folder("pg");
        let data = folder.join("data");
        let stop = server_command(&bin, "pg_ctl")
            .into_iter()
            .chain(["-D".into(), data.display().to_string()])
            .chain(["-w", "-m", "immediate", "stop"].map(String::from))
            .collect::<Vec<_>>();
        let supervisor = Supervisor::watch(&folder, &stop);
        let cluster = Self {
            bin,
            folder,
            _supervisor: supervisor,
        };
        cluster.initialise(settings);
        if let Some(certificate) = certificate {
            cluster.encrypt(certificate);
        }
        cluster.launch();
        cluster
    }

    /// The URL of a database of this cluster. It stays the same over restarts.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url_of(&self.base_url(), database)
    }

    /// The folder of the socket that it listens on.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A client program of the same installation, like `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Kills the server as a crash would: no farewell, no last write.
    pub fn kill_hard(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid"))
            .expect("the server runs");
        let pid = pid
            .lines()
            .next()
            .expect("the first line is the process id");
        scratch::run(Command::new("kill").args(["-KILL", pid]));
    }

    /// Starts the server again after [`Cluster::kill_hard`]; it recovers from its log.
    pub fn restart(&self) {
        self.launch();
    }

    pub(crate) fn base_url(&self) -> String {
        format!("postgres://app@localhost?host={}", self.folder.display())
    }

    fn initialise(&self, chosen: &str) {
        let data = self.folder.join("data");
        if is_root() {
            scratch::run(
                Command::new("install")
                    .args(["-d", "-o", "postgres", "-m", "700"])
                    .arg(&data),
            );
            scratch::run(Command::new("chown").arg("postgres").arg(&self.folder));
        }
        scratch::run(self.command("initdb").arg("-D").arg(&data).args([
            "--username=app",
            "--auth=trust",
            "--no-locale",
            "--encoding=UTF8",
            "--no-sync",
        ]));
        let mut settings = std::fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))
            .expect("initdb wrote it");
        writeln!(
            settings,
            "{SETTINGS}{chosen}unix_socket_directories = '{}'",
            self.folder.display()
        )
        .expect("the disk has room for a few lines");
    }

    /// Puts the certificate where the settings look for it, and refuses plaintext.
    fn encrypt(&self, certificate: &Issued) {
        let data = self.folder.join("data");
        for (name, text) in [
            ("tls.crt", certificate.certificate.as_str()),
            ("tls.key", &certificate.key),
            (
                "pg_hba.conf",
                "local all all trust\nhostssl all all 127.0.0.1/32 trust\n",
            ),
        ] {
            let file = data.join(name);
            std::fs::write(&file, text).expect("the folder is ours");
            scratch::run(Command::new("chmod").arg("600").arg(&file));
            if is_root() {
                scratch::run(Command::new("chown").arg("postgres").arg(&file));
            }
        }
    }

    /// Starts the server and waits until it accepts connections. The backends of a server that was
    /// killed hold its shared memory for a moment, hence the attempts.
    fn launch(&self) {
        const ATTEMPTS: u32 = 20;
        for attempt in 1.. {
            let output = self
                .command("pg_ctl")
                .arg("-D")
                .arg(self.folder.join("data"))
                .args(["-w", "-s", "-t", "60", "-l"])
                .arg(self.folder.join("log"))
                .arg("start")
                .output()
                .unwrap_or_else(|error| panic!("cannot run pg_ctl: {error}"));
            if output.status.success() {
                return;
            }
            assert!(
                attempt < ATTEMPTS,
                "PostgreSQL does not start: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn command(&self, program: &str) -> Command {
        let words = server_command(&self.bin, program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder);
        command
    }
}

/// The URL, without a database name, of the server that tests of this process share.
pub(crate) fn shared() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    static OWN: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        std::env::var(VARIABLE).unwrap_or_else(|_| OWN.get_or_init(Cluster::start).base_url())
    })
}

/// Puts the database's name into a server's URL.
pub(crate) fn url_of(base: &str, database: &str) -> String {
    base.replacen('?', &format!("/{database}?"), 1)
}

/// The folder with the programs of PostgreSQL 15 or newer.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(version, bin)| *version >= OLDEST_SUPPORTED && bin.join("initdb").is_file())
        .collect();
    versions.sort();
    if let Some((_, bin)) = versions.first() {
        return bin.clone();
    }
    let Some(initdb) = scratch::find_program("initdb") else {
        panic!(
            "PostgreSQL {OLDEST_SUPPORTED} or newer is needed: on Debian `apt-get install \
             postgresql-{OLDEST_SUPPORTED}`, elsewhere put `initdb` and `pg_ctl` on the PATH"
        );
    };
    initdb
        .parent()
        .expect("a file is in a folder")
        .to_path_buf()
}

/// PostgreSQL refuses to run as root, so root becomes the user that its Debian package made.
fn server_command(bin: &Path, program: &str) -> Vec<String> {
    let program = bin.join(program).display().to_string();
    if is_root() {
        ["runuser", "-u", "postgres", "--", &program]
            .map(String::from)
            .into()
    } else {
        vec![program]
    }
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| scratch::run(Command::new("id").arg("-u")).trim() == "0")
}
