//! Runs a command with one private PostgreSQL and one private Redis for all the test processes that
//! it starts: `cargo run -q -p testkit -- cargo test --workspace`.
//!
//! With `--durable` PostgreSQL writes through to the disk as in production, for measurements.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    let durable = words.next_if(|word| word == "--durable").is_some();
    let Some(program) = words.next() else {
        eprintln!("usage: testkit [--durable] COMMAND [ARGUMENT ...]");
        return ExitCode::from(2);
    };
    let servers = if durable {
        testkit::Servers::start_durable()
    } else {
        testkit::Servers::start()
    };
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
