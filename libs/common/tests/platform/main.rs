//! The platform on both databases: mutations, the change feed, durable consumers.

mod connections;
mod consumers;
mod feed;
mod mutations;
mod restored;
mod schema;
mod subject;
