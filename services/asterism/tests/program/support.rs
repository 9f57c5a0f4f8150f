//! A suite in this process, and the program that is tried on it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use asterism::demo::TODAY;
use asterism::suite::{Suite, SuiteConfig};
use common::config::{DatabaseConfig, ServerConfig};
use common::time::StartedAt;

/// A suite on free ports, in the year of the demo.
pub async fn suite(folder: &Path) -> Suite {
    let config = SuiteConfig {
        server: ServerConfig::on_free_ports(),
        database: DatabaseConfig {
            data: folder.into(),
            ..DatabaseConfig::default()
        },
        ..SuiteConfig::default()
    };
    let suite = Suite::start(&config, Arc::new(StartedAt::new(TODAY))).await;
    suite.expect("it starts")
}

/// Runs the program to its end, whatever the shell of the tests has set.
pub async fn asterism(arguments: &[&str]) -> Output {
    called("asterism", arguments).await
}

/// Runs it under another name.
pub async fn called(name: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asterism"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("ASTERISM_") {
            command.env_remove(variable);
        }
    }
    command.arg0(name).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic");
    output.expect("the program can be run")
}

/// What it printed.
pub fn text(output: &Output) -> String {
    let all = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(all).expect("it prints UTF-8")
}
