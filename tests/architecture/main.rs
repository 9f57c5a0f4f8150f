//! Rules of the code base that no compiler checks.

mod contract;
mod crates;
mod layout;
mod migrations;
mod service_config;
mod sources;
