//! The all-in-one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    asterism::cli::main()
}
