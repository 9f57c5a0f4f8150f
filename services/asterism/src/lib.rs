//! All four services in one process, and the command line.
//!
//! `asterism serve` opens one SQLite file for each service and mounts all of them on one port, with the
//! constructors that production uses; between services they dial that port, so the wire is the same too.
//! `asterism demo` starts that suite on a clock set to 1998 and drives it through the public API.
//!
//! `asterism verify` checks a proof of the points ledger with nothing but a file.
//!
//! Invariant: this crate holds no business logic; what it shows it has asked for over gRPC.

pub mod cli;
pub mod demo;
pub mod suite;
mod verify;
