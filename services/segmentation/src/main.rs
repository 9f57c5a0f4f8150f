//! The segmentation service on its own.

fn main() -> std::process::ExitCode {
    common::process::main::<segmentation::Segmentation>()
}
