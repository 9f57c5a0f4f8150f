//! The service over gRPC, on both databases.

mod explain;
mod feed;
mod models;
mod ratings;
mod real_time;
mod refusals;
mod refused_mutations;
mod rfm;
mod rfm_data;
mod world;
