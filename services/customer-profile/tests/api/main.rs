//! Every RPC, on both databases, over gRPC.

mod concurrency;
mod customers;
mod deletes;
mod events;
mod imports;
mod merges;
mod records;
mod sealing;
mod summary;
mod support;
mod timeline;
mod updates;
mod voids;
