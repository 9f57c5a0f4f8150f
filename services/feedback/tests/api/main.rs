//! The service over gRPC, on both databases.

mod events;
mod fixture;
mod history;
mod invitations;
mod metrics;
mod responses;
mod surveys;
mod tickets;
