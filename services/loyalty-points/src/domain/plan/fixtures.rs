//! Lots and instants for tests.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::{Holding, Plan, reverse};
use crate::domain::currency::Wallet;
use crate::domain::lots::Lot;
use crate::domain::reversal::{self, Part, Policy};

/// A day after the epoch.
pub fn at(day: i64) -> Timestamp {
    Timestamp::EPOCH + TimeDelta::days(day)
}

/// An untouched lot of day 0 that never expires.
pub fn lot(lot_id: &str, points: i64) -> Lot {
    Lot {
        lot_id: lot_id.to_owned(),
        wallet: Wallet::first(),
        original: points,
        remaining: points,
        held: 0,
        consumed: 0,
        expired: 0,
        reversed: 0,
        qualifying: points,
        earned_at: at(0),
        activates_at: Some(at(0)),
        expires_at: None,
        cancelled_at: None,
    }
}

/// Takes all of an earning back that nothing was taken of before, on debt if need be.
pub fn reverse_whole(holding: Holding, lots: Vec<Lot>, lot_id: &str, now: Timestamp) -> Plan {
    let lot = lots.iter().find(|lot| lot.lot_id == lot_id).unwrap();
    let part = Part {
        lot_id: lot_id.to_owned(),
        points: lot.original - lot.reversed,
        before: reversal::Before {
            reversed: 0,
            adjusted: lot.reversed,
        },
        policy: Policy::AllowDebt,
    };
    reverse(holding, lots, &part, now).unwrap()
}
