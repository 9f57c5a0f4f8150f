//! Transport: a request is parsed into a use case, its result becomes the response.

mod merges;
mod profile;
mod record;
mod requests;
mod service;
mod stream;

pub use service::Grpc;
