//! The settings of this service. Everything that a program decides is data, not configuration.

/// Settings of the loyalty service.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Config {}
