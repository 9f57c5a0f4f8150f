//! All four services in one process, and the command line.
//!
//! `asterism serve` opens one SQLite file for each service and mounts all of them on one port, with the
//! constructors that production uses; between services they dial that port, so the wire is the same too.
//! `asterism demo` starts that suite on a clock set to 1998 and drives it through the public API.
//!
//! `asterism import` drives a suite that runs already, and `asterism check` asks one whether it works.
//!
//! `asterism verify` checks a proof of the points ledger with nothing but a file.
//!
//! Called by the name of a service, the program is that service: an image holds one file with five names.
//!
//! Invariant: this crate holds no business logic; what it shows it has asked for over gRPC.

mod check;
pub mod cli;
pub mod demo;
pub mod suite;
pub mod target;
mod verify;
