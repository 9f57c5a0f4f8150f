//! The rules of surveys and tickets: pure, no I/O, no clock.
//!
//! Invariant: nothing in here is async or knows gRPC or SQL.

mod id;
pub mod metric;
mod name;
pub mod survey;
pub mod ticket;

pub use id::{Id, InvitationId, ResponseId, SurveyId, TicketId};
pub use name::Named;
