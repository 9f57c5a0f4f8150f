//! Folders of private servers, and the supervisor that ends a server with the test process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Makes a new folder under the system's temporary folder. The caller sees that it is removed.
pub(crate) fn folder(of: &str) -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix(&format!("asterism-{of}-"))
        .tempdir()
        .unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"))
        .keep();
    // PostgreSQL runs as another user when we are root and must get through.
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755))
        .expect("the folder was just made by us");
    folder
}

/// Waits until its standard input ends, that is until the process that holds the pipe is gone,
/// however it went. Then it stops the server and removes the folder. Signals to a terminal's
/// foreground group must not end it before its work is done.
const WATCH: &str = r#"
trap '' HUP INT TERM
folder=$1; shift
cat >/dev/null
"$@" >/dev/null 2>&1 </dev/null
cd / && rm -rf "$folder"
"#;

/// A server's guard: when this value is dropped or our process ends, the server is stopped and its
/// folder removed.
pub(crate) struct Supervisor(Child);

impl Supervisor {
    /// Watches over `folder`; `stop` is the command that stops the server in it.
    pub(crate) fn watch(folder: &Path, stop: &[String]) -> Self {
        let child = Command::new("sh")
            .args(["-c", WATCH, "supervisor"])
            .arg(folder)
            .args(stop)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start sh to watch over a server: {error}"));
        Self(child)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // `wait` closes our end of the pipe first.
        let _ = self.0.wait();
    }
}

/// Runs a command to its end; panics with its output when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The full path of a program, looked up like a shell does.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
