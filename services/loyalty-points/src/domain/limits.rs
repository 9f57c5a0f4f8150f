//! Earning limits: caps on what one member earns in a window of the calendar, and budgets of what all members of a
//! program earn together.
//!
//! Invariants: an earning never takes a limit beyond its points; what is taken back of an earning is given back to
//! exactly the windows that it was counted in.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::currency::Wallet;

/// Limits that hold at the same time in a program at most: every earning is counted against each.
pub const LIMITS_MAX: usize = 20;
/// Points of a limit at most.
pub const LIMIT_POINTS_MAX: i64 = 1_000_000_000_000_000_000;

/// A limit's identifier, unique in its program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(String);

impl LimitId {
    /// Checks the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ -".to_owned())
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for LimitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose earnings a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of one member: a cap.
    Member,
    /// Those of all members of the program: a budget.
    Program,
}

/// What becomes of an earning that is more than is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Nothing is earned.
    Refuse,
    /// What is left is earned.
    Clamp,
}

/// The windows that a limit counts in, one after the other. They begin at midnight UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Days.
    Day,
    /// Weeks, which begin on Monday.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
    /// One for ever.
    Lifetime,
}

/// A stretch of time: from its start on and before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it begins; absent: it always has.
    pub start: Option<Timestamp>,
    /// When it is over; absent: never.
    pub end: Option<Timestamp>,
}

impl WindowKind {
    /// The window that an instant belongs to.
    pub fn at(self, at: Timestamp) -> Window {
        let date = at.to_chrono().date_naive();
        let days = |days: u32| Days::new(days.into());
        let first = match self {
            Self::Day => Some(date),
            Self::Week => date.checked_sub_days(days(date.weekday().num_days_from_monday())),
            Self::Month => date.with_day(1),
            Self::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
            Self::Lifetime => None,
        };
        let after = first.and_then(|first| match self {
            Self::Day => first.checked_add_days(days(1)),
            Self::Week => first.checked_add_days(days(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::Year => first.checked_add_months(Months::new(12)),
            Self::Lifetime => None,
        });
        let midnight =
            |date: NaiveDate| -> DateTime<Utc> { date.and_time(NaiveTime::MIN).and_utc() };
        Window {
            start: first.map(|date| midnight(date).into()),
            end: after.map(|date| midnight(date).into()),
        }
    }

    /// The same window, by its start as it is stored.
    pub fn starting(self, start: i64) -> Window {
        self.at(Timestamp::from_micros(start))
    }
}

impl Window {
    /// Its start as it is stored.
    pub fn key(self) -> i64 {
        self.start.map_or(0, Timestamp::micros)
    }
}

/// A limit as it was last set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarningLimit {
    /// Its identifier.
    pub limit_id: LimitId,
    /// Which change of the program's limits made it so.
    pub version: i64,
    /// Whose earnings it counts. Never changes.
    pub scope: Scope,
    /// Points of which currency. Never changes.
    pub wallet: Wallet,
    /// In which windows. Never changes.
    pub window: WindowKind,
    /// How many may be earned in a window.
    pub points: i64,
    /// What becomes of an earning that is more.
    pub excess: Excess,
    /// Whether it no longer holds.
    pub ended: bool,
    /// Who set it so.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub changed_at: Timestamp,
}

/// The limits of a program, those that have ended included, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(Vec<Arc<EarningLimit>>);

impl Limits {
    /// One of each.
    pub fn new(limits: Vec<EarningLimit>) -> Self {
        let mut limits: Vec<_> = limits.into_iter().map(Arc::new).collect();
        limits.sort_by(|a, b| a.limit_id.cmp(&b.limit_id));
        Self(limits)
    }

    /// How many changes have made them what they are.
    pub fn version(&self) -> i64 {
        self.0.iter().map(|limit| limit.version).max().unwrap_or(0)
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<EarningLimit>] {
        &self.0
    }

    /// One by its id.
    pub fn find(&self, limit_id: &LimitId) -> Option<&Arc<EarningLimit>> {
        self.0.iter().find(|limit| limit.limit_id == *limit_id)
    }

    /// Those that hold.
    pub fn holding(&self) -> impl Iterator<Item = &Arc<EarningLimit>> {
        self.0.iter().filter(|limit| !limit.ended)
    }

    /// Those that hold for a currency.
    pub fn of<'a>(&'a self, wallet: &'a Wallet) -> impl Iterator<Item = &'a Arc<EarningLimit>> {
        self.holding().filter(move |limit| limit.wallet == *wallet)
    }
}

/// What is used of a limit in the window of an earning.
#[derive(Debug, Clone)]
pub struct Room {
    /// The limit.
    pub limit: Arc<EarningLimit>,
    /// The window.
    pub window: Window,
    /// What is used.
    pub used: i64,
}

impl Room {
    /// What is left. Nothing where the limit was lowered since.
    pub fn left(&self) -> i64 {
        (self.limit.points - self.used).max(0)
    }
}

/// What a limit made of an earning that is counted against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The limit.
    pub limit_id: String,
    /// As it was then.
    pub version: i64,
    /// Whose earnings it counts.
    pub scope: Scope,
    /// Start of the window, as it is stored.
    pub window_start: i64,
    /// The points before.
    pub before: i64,
    /// The points that it left: all of them, or fewer.
    pub after: i64,
}

/// What limits make of an earning.
#[derive(Debug)]
pub struct Granted {
    /// So many points may be earned.
    pub points: i64,
    /// What each limit made of them, in order; nothing follows on one that left none.
    pub applied: Vec<Applied>,
    /// The one that left none.
    pub stopped_by: Option<Room>,
}

/// Holds an earning against limits: those that cut come first, in the order of their ids, and one that refuses looks
/// at what they leave.
pub fn grant(asked: i64, mut rooms: Vec<Room>) -> Granted {
    rooms.sort_by_key(|room| room.limit.excess == Excess::Refuse);
    let mut granted = Granted {
        points: asked,
        applied: Vec::with_capacity(rooms.len()),
        stopped_by: None,
    };
    for room in rooms {
        let (before, left) = (granted.points, room.left());
        granted.points = match room.limit.excess {
            _ if before <= left => before,
            Excess::Clamp => left,
            Excess::Refuse => 0,
        };
        granted.applied.push(Applied {
            limit_id: room.limit.limit_id.to_string(),
            version: room.limit.version,
            scope: room.limit.scope,
            window_start: room.window.key(),
            before,
            after: granted.points,
        });
        if granted.points == 0 {
            granted.stopped_by = Some(room);
            break;
        }
    }
    granted
}

#[cfg(test)]
mod tests;
