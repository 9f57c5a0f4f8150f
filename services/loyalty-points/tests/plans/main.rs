//! Which statements the service runs, and how the databases carry them out. In a process of its own, and one test at a
//! time: it hears of every statement that is run in the process.

mod audit;
mod heard;
mod limits;
mod past;
mod plan;
#[path = "../api/shop.rs"]
#[expect(dead_code, reason = "other tests need the rest of it")]
mod shop;
