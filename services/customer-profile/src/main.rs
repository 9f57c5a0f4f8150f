//! The customer service as a process of its own.

fn main() -> std::process::ExitCode {
    common::process::main::<customer_profile::CustomerProfile>()
}
