//! Pure rules: what a customer, a purchase and an interaction are, and what a change does to them.
//!
//! Invariant: nothing here is async, talks to a database or knows gRPC.

mod field;
mod import;
mod interaction;
mod merge;
mod personal;
mod profile;
mod record;
mod text;
mod transaction;

pub use field::{Field, Mask};
pub use import::{Import, ImportRow, RowDecision};
pub use interaction::{Channel, Interaction};
pub use merge::{Merge, Merged, Undone};
pub use personal::{Address, Contact, ContactKind, Gender, Personal};
pub use profile::{ATTRIBUTES_MAX, Customer, EXTERNAL_IDS_MAX, Profile};
pub use record::{Decision, Fact, Key, decide};
pub use text::{line, name, required, trimmed};
pub use transaction::{AMOUNT_MICROS_MAX, Line, Transaction, Voided};
