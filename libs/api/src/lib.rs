//! The contract as Rust: messages, clients and servers generated from `proto/`, the descriptor set,
//! and the table of methods. Invariant: this crate holds no logic beyond looking things up in them.

mod descriptors;

pub use descriptors::{DESCRIPTOR_SET, Method, field_name, method, methods};

/// Generated code; documented in the proto files.
#[expect(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated from documented protos"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/api.rs"));
}

pub use generated::asterism::*;
