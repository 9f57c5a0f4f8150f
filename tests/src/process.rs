//! The programs that we ship, run as processes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A program that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server of ours in a process of its own. It is killed when this value is dropped.
pub struct Process {
    /// Where its API answers.
    pub api: SocketAddr,
    ops: SocketAddr,
    arguments: Vec<String>,
    program: PathBuf,
    log: PathBuf,
    child: Child,
}

/// What to run and where.
pub struct Launch<'a> {
    /// Name of the program.
    pub program: &'a str,
    /// Where its API is to answer.
    pub api: SocketAddr,
    /// Settings beyond the ports.
    pub arguments: Vec<String>,
    /// Folder for its log.
    pub folder: &'a Path,
}

impl Process {
    /// Starts a program and returns when it is ready.
    #[must_use]
    pub fn start(launch: Launch<'_>) -> Self {
        let mut process = Self::begin(launch);
        process.wait_until_ready();
        process
    }

    /// Starts a program that may not become ready for a while.
    #[must_use]
    pub fn begin(launch: Launch<'_>) -> Self {
        let program = programs().join(launch.program);
        let log = launch.folder.join(format!("{}.log", launch.program));
        let ops = free_address();
        let mut arguments = launch.arguments;
        if launch.program == "customer-profile" {
            arguments.push(encryption_keys(launch.folder));
        }
        arguments.extend([
            format!("--listen={}", launch.api),
            format!("--ops-listen={ops}"),
        ]);
        let child = spawn(&program, &arguments, &log);
        Self {
            api: launch.api,
            ops,
            arguments,
            program,
            log,
            child,
        }
    }

    /// Kills it without notice, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Starts it again after [`Process::kill`], with the same settings.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.log);
        self.wait_until_ready();
    }

    /// Asks it to end and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill can be run"
        );
        self.child.wait().expect("it is our child").code()
    }

    /// Whether its ops port calls it ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ask("/readyz")
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The most memory it has had resident so far, in KiB.
    ///
    /// # Panics
    /// Where there is no `/proc`, that is, on another system than Linux.
    #[must_use]
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs, on Linux");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|rest| rest.trim().strip_suffix(" kB"));
        peak.and_then(|kib| kib.parse().ok())
            .expect("Linux says what the peak was")
    }

    /// What its ops port answers.
    #[must_use]
    pub fn ask(&self, path: &str) -> Option<String> {
        let mut connection = TcpStream::connect(self.ops).ok()?;
        connection
            .set_read_timeout(Some(Duration::from_secs(5)))
            .ok()?;
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Returns when it is ready; panics with its log if it ends instead.
    pub fn wait_until_ready(&mut self) {
        let started = Instant::now();
        while !self.is_ready() {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "{} does not become ready ({ended:?}):\n{}",
                self.program.display(),
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The setting that customer-profile does not start without.
fn encryption_keys(folder: &Path) -> String {
    let file = folder.join("customer-encryption-keys");
    if !file.exists() {
        common::sealing::make_file(&file, "first").expect("the folder is ours");
    }
    format!("--customer-encryption-keys-file={}", file.display())
}

/// Runs a program to its end, whatever that is.
pub fn output(program: &str, arguments: impl IntoIterator<Item = String>) -> Output {
    let output = command(&programs().join(program)).args(arguments).output();
    output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// Runs a program to its end; panics with its output when it fails.
pub fn run(program: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let output = output(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} failed: {}\n{text}{errors}",
        output.status
    );
    text
}

/// Runs a program that is expected to refuse its settings; returns its exit code and what it says.
#[must_use]
pub fn refused(
    program: &str,
    arguments: impl IntoIterator<Item = String>,
) -> (Option<i32>, String) {
    let output = command(&programs().join(program)).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

/// The settings are the test's alone, whatever the shell it runs in has set.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ASTERISM_") {
            command.env_remove(name);
        }
    }
    command
}

fn spawn(program: &Path, arguments: &[String], log: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log);
    let log = log.expect("the folder is ours");
    command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("files can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()))
}

/// The folder with our programs. Whoever has built them all says so in `TESTKIT_PROGRAMS`;
/// otherwise they are built now, once.
fn programs() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = || match std::env::var_os("TESTKIT_PROGRAMS") {
        Some(folder) => folder.into(),
        None => build(),
    };
    FOLDER.get_or_init(folder).clone()
}

fn build() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--bins"])
        .current_dir(crate::root())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the programs can be built"
    );
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().nth(2);
    folder
        .expect("tests are in deps, programs beside it")
        .to_path_buf()
}

/// An address of loopback where nobody listens at the moment. It is below the ports that Linux gives to whoever asks for
/// any: else some caller might have it before the program that is to listen there.
#[must_use]
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 16_384;
    const COUNT: u32 = 16_384;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Other test programs begin elsewhere.
    let begin = std::process::id().wrapping_mul(61);
    let free = (0..COUNT).find_map(|_| {
        let tried = begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + tried % COUNT).expect("below 32,768");
        TcpListener::bind(("127.0.0.1", port)).ok()
    });
    let listener = free.expect("the loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}
