//! The demo: 6,919 real purchases of 2,357 customers become profiles, points, tiers, scores and stars.
//!
//! It is an ordinary client. Everything it writes has a natural key or a fixed `request_id`, so running it
//! again on the same folder, or after a crash in the middle, ends with the same tables.

pub mod cdnow;
pub mod client;
mod hints;
pub mod load;
pub mod report;
pub mod survey;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use common::Error;
use common::process::stopped;
use common::time::{StartedAt, Timestamp};

use crate::suite::{Suite, SuiteConfig};
use crate::target::Target;
use client::{Addresses, Clients};

/// 1998-07-01T00:00:00Z, the day after the log ends.
pub const TODAY: Timestamp = Timestamp::from_unix_seconds(899_251_200);

/// Settings of the demo.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoConfig {
    /// Leaves after printing instead of serving until Ctrl-C.
    #[arg(long)]
    pub exit: bool,
    /// Another purchase log in the format of CDNOW's sample; the sample itself is built in.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// Settings of the import into a suite that runs already.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportConfig {
    /// Where to.
    #[command(flatten)]
    pub target: Target,
    /// Another purchase log, as for the demo.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// Sends the purchases to a suite that runs already, and prints what came of them. No survey is held: on a clock of
/// today nobody can be invited in 1998.
pub async fn import(config: &ImportConfig) -> Result<(), Error> {
    let log = cdnow::read(config.log_file.as_deref())?;
    let began = Instant::now();
    let clients = Clients::connect_as(&config.target.client(), &config.target.all()?);
    let outcome = fill(&clients.map_err(failed)?, &log).await;
    let report = outcome.map_err(failed)?;
    println!("{report}\nDone in {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

async fn fill(clients: &Clients, log: &cdnow::Log) -> Result<String, tonic::Status> {
    let loaded = load::load(clients, log).await?;
    report::purchases(clients, log, &loaded).await
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(status: tonic::Status) -> Error {
    Error::Internal(format!("the import failed: {status}"))
}

/// Starts the suite, fills it, prints what came out, and keeps serving.
pub async fn run(config: &DemoConfig, mut suite: SuiteConfig) -> Result<(), Error> {
    if suite.server.tls.certificate_file.is_some() {
        return Err(Error::Config(
            "the demo speaks plaintext: leave TLS to `asterism serve`".to_owned(),
        ));
    }
    // Apart from what `serve` keeps: data of 1998 and of today do not mix.
    suite.database.data.push("demo");
    let began = Instant::now();
    let log = cdnow::read(config.log_file.as_deref())?;
    let running = Suite::start(&suite, Arc::new(StartedAt::new(TODAY))).await?;
    println!(
        "Asterism serves on {} (ops on {}), data in {}, started in {} ms",
        running.api,
        running.ops,
        suite.database.data.display(),
        began.elapsed().as_millis(),
    );
    let outcome = play(&format!("http://{}", running.api), &log).await;
    match outcome {
        Ok(report) => {
            println!("\n{report}");
            println!(
                "Done in {:.1} s{}.\n",
                began.elapsed().as_secs_f64(),
                memory()
            );
        }
        Err(status) => {
            running.stop().await?;
            return Err(Error::Internal(format!("the demo failed: {status}")));
        }
    }
    if !config.exit {
        println!("{}", hints::text(running.api, running.ops));
        stopped().await;
    }
    running.stop().await
}

/// Everything the demo does, as a client of a suite at an address.
async fn play(address: &str, log: &cdnow::Log) -> Result<String, tonic::Status> {
    let clients = Clients::connect(&Addresses::all_at(address), None)?;
    let loaded = load::load(&clients, log).await?;
    survey::run(&clients, log).await?;
    report::report(&clients, log, &loaded).await
}

/// Resident memory of this process, where the system tells.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.map(|kib| format!(", {} MiB resident", kib / 1024))
        .unwrap_or_default()
}
