//! Programs with several point currencies, and members with an account in each.

mod alone;
mod apart;
mod migrated;
mod named;
mod over_time;
mod proven;
pub mod travel;
