//! The settings of this service. Everything that a program decides is data, not configuration.

/// Settings of the loyalty service.
#[derive(Debug, Clone, Default, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "loyalty-points")]
pub struct Config {}
