//! The transport: requests in, domain values through the use cases, responses out.

pub(crate) mod convert;
mod parse;
mod survey_requests;
mod surveys;
mod ticket_requests;
mod tickets;

pub use surveys::Surveys;
pub use tickets::Tickets;
