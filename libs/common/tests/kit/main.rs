//! What every server of the suite promises, proven on a small service over real connections.

mod at_hand;
mod auth;
mod client;
mod completion;
mod deadlines;
mod drain;
mod errors;
mod ops;
mod overload;
mod rotation;
mod subject;
mod tls;
mod traces;
mod unready;
