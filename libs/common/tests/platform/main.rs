//! The platform on both databases: mutations, the change feed, durable consumers.

mod connections;
mod consumers;
mod encrypted;
mod feed;
mod mutations;
mod restored;
mod schema;
mod stopping;
mod subject;
