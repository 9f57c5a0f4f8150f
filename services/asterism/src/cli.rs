//! The command line.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use common::Error;
use common::config::{DatabaseConfig, TelemetryConfig};
use common::process::{self, FeedCommand, block_on, exit_code, parse, stopped};
use common::telemetry;
use common::time::SystemClock;
use customer_profile::CustomerProfile;
use feedback::Feedback;
use loyalty_points::Loyalty;
use segmentation::Segmentation;

use crate::check::{self, CheckConfig};
use crate::demo::{self, DemoConfig, ImportConfig};
use crate::suite::{Suite, SuiteConfig, begin_epochs};
use crate::verify::{self, VerifyConfig};

/// Manages an enterprise's customers: profiles, segments, points and feedback over gRPC.
#[derive(Debug, Parser)]
#[command(name = "asterism", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the four services in one process on one port, with SQLite files and the in-process cache.
    Serve {
        #[command(flatten)]
        suite: Box<SuiteConfig>,
        #[command(flatten)]
        telemetry: TelemetryConfig,
    },
    /// Runs the suite in the year 1998 and fills it with real purchases through its API.
    Demo {
        #[command(flatten)]
        demo: Box<DemoConfig>,
        #[command(flatten)]
        suite: Box<SuiteConfig>,
        #[command(flatten)]
        telemetry: TelemetryConfig,
    },
    /// Looks after the change feeds of a data folder that no process uses.
    Feed {
        #[command(subcommand)]
        command: FeedCommand,
        #[command(flatten)]
        database: Box<DatabaseConfig>,
    },
    /// Sends the demo's purchases to a suite that runs already.
    Import(Box<ImportConfig>),
    /// Asks each service of a running suite whether it works: health, and a call that needs a token and its database.
    Check(Box<CheckConfig>),
    /// Checks offline that a posting is in the points ledger of a head, or that one head has grown out of another.
    Verify(VerifyConfig),
}

/// Parses, runs, and turns the outcome into an exit code. By another name, like `loyalty-points`, it is that service.
pub fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some("customer-profile") => process::main::<CustomerProfile>(),
        Some("loyalty-points") => process::main::<Loyalty>(),
        Some("segmentation") => process::main::<Segmentation>(),
        Some("feedback") => process::main::<Feedback>(),
        _ => command(),
    }
}

fn command() -> ExitCode {
    match parse("asterism") {
        Ok(cli) => exit_code(block_on(run(cli))),
        Err(code) => code,
    }
}

async fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Serve { suite, telemetry } => {
            let _guard = telemetry::init(&telemetry, "asterism")?;
            serve(&suite).await
        }
        Command::Demo {
            demo,
            suite,
            telemetry,
        } => {
            let _guard = telemetry::init(&telemetry, "asterism")?;
            demo::run(&demo, *suite).await
        }
        Command::Feed {
            command: FeedCommand::NewEpoch,
            database,
        } => begin_epochs(&database).await,
        Command::Import(config) => demo::import(&config).await,
        Command::Check(config) => check::run(&config).await,
        Command::Verify(config) => verify::run(&config),
    }
}

async fn serve(config: &SuiteConfig) -> Result<(), Error> {
    let suite = Suite::start(config, Arc::new(SystemClock)).await?;
    tracing::info!(api = %suite.api, ops = %suite.ops, "serving");
    stopped().await;
    suite.stop().await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
