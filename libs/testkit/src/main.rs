//! Runs a command with one private PostgreSQL and one private Redis for all the test processes that
//! it starts: `cargo run -q -p testkit -- cargo test --workspace`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: testkit COMMAND [ARGUMENT ...]");
        return ExitCode::from(2);
    };
    let servers = testkit::Servers::start();
    let status = Command::new(&program)
        .args(words)
        .envs(servers.variables())
        .status();
    drop(servers);
    match status {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("cannot run {}: {error}", program.display());
            ExitCode::from(127)
        }
    }
}
