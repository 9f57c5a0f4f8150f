//! Settings of this service.

/// Nothing to set yet: sizes and limits are part of the contract in `proto/`.
#[derive(Debug, Clone, Default, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "customer-profile")]
pub struct Config {}
