//! The settings of this service. Everything that a program decides is data, not configuration.

use std::time::Duration;

use common::config::{defaults, duration};

/// Settings of the loyalty service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "loyalty-points")]
#[command(next_help_heading = "Points ledger")]
pub struct Config {
    /// Postings that are committed together at most; 1 commits each by itself.
    #[arg(
        long,
        env = "ASTERISM_POSTING_BATCH_MAX",
        default_value_t = POSTING_BATCH_MAX,
        value_parser = clap::value_parser!(u16).range(1..=4096)
    )]
    pub posting_batch_max: u16,
    /// Holds that timed out and points that expired are posted, and notices of expiry told, this often; 0s leaves
    /// that to the members' next calls and to the RPC `SweepExpiry`.
    #[arg(
        long = "loyalty-sweep-every",
        env = "ASTERISM_LOYALTY_SWEEP_EVERY",
        value_parser = duration,
        default_value = "5m"
    )]
    pub sweep_every: Duration,
}

const POSTING_BATCH_MAX: u16 = 512;

impl Default for Config {
    fn default() -> Self {
        defaults()
    }
}
