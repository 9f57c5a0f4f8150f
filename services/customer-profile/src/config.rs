//! Settings of this service.

/// Nothing to set yet: sizes and limits are part of the contract in `proto/`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Config {}
