//! Pure rules: windows of days, quintiles, percentiles against a frozen reference, scores, stars and
//! their explanation. Whole numbers only, so that the same input gives the same bits everywhere.
//!
//! Invariant: no I/O, no async, no clock in here.

pub mod day;
pub mod explain;
pub mod model;
pub mod quintile;
pub mod reference;
pub mod score;
pub mod stars;
