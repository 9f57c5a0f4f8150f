//! The feedback service as a process of its own.

fn main() -> std::process::ExitCode {
    common::process::main::<feedback::Feedback>()
}
