//! The settings of this service. Everything that a program decides is data, not configuration.

/// Settings of the loyalty service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "loyalty-points")]
pub struct Config {
    /// Postings that are committed together at most; 1 commits each by itself.
    #[arg(
        long,
        env = "ASTERISM_POSTING_BATCH_MAX",
        default_value_t = POSTING_BATCH_MAX,
        value_parser = clap::value_parser!(u16).range(1..=4096)
    )]
    pub posting_batch_max: u16,
}

const POSTING_BATCH_MAX: u16 = 512;

impl Default for Config {
    fn default() -> Self {
        Self {
            posting_batch_max: POSTING_BATCH_MAX,
        }
    }
}
