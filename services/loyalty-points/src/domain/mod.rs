//! The rules of points and tiers: no async, no I/O, no gRPC, no SQL.

pub mod adjust;
pub mod balance;
pub mod chain;
pub mod consistency;
pub mod currency;
pub mod decision;
pub mod expiry;
pub mod extension;
pub mod forecast;
pub mod holds;
pub mod import;
pub mod known;
pub mod limits;
pub mod lines;
pub mod lots;
pub mod merge;
pub mod merkle;
pub mod multiplier;
pub mod overrides;
pub mod pending;
pub mod plan;
pub mod program;
pub mod progress;
pub mod refund;
pub mod replay;
pub mod reversal;
pub mod signing;
pub mod statement;
pub mod terms;
pub mod tiers;
pub mod transfer;

/// The most points that one posting moves. Far below the range of `i64`, so that no sum overflows.
pub const POINTS_PER_POSTING_MAX: i64 = 1_000_000_000_000;

/// The most points that one member holds in one currency.
pub const POINTS_PER_MEMBER_MAX: i64 = 1_000_000_000_000_000;

/// Points that a caller asks to move: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(i64);

impl Points {
    /// Checks the range.
    pub fn parse(points: i64) -> Result<Self, String> {
        if !(1..=POINTS_PER_POSTING_MAX).contains(&points) {
            return Err(format!("must be 1 to {POINTS_PER_POSTING_MAX}"));
        }
        Ok(Self(points))
    }

    /// As a number.
    pub fn get(self) -> i64 {
        self.0
    }
}
