//! The program `asterism`, run as a process.

mod check;
mod import;
mod names;
mod secrets;
mod support;
