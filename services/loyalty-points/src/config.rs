//! The settings of this service. Everything that a program decides is data, not configuration.

use common::cache::Options;

/// Settings of the loyalty service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "loyalty-points")]
pub struct Config {
    /// Tiers kept in the memory of this process, some 0.5 KiB each; 0 keeps none and asks Redis, or without it
    /// the database, each time.
    #[arg(long, env = "ASTERISM_TIERS_IN_MEMORY_MAX", default_value_t = Options::default().l1_capacity)]
    pub tiers_in_memory_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tiers_in_memory_max: Options::default().l1_capacity,
        }
    }
}
