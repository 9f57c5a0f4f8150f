//! When a lot was earned, and from when on and until when it can be spent: what its posting tells, so that nobody can
//! change it afterwards unnoticed.

use std::collections::HashMap;

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::currency::Wallet;
use super::lots::Lot;
use super::plan::{Account, Posting};
use super::program::Program;

/// What a lot is like when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When it was earned.
    pub earned_at: Timestamp,
    /// From when on it can be spent; absent while it waits for an event.
    pub activates_at: Option<Timestamp>,
    /// From when on it no longer can. Absent: never; of one that waits, as the program says once its event has come.
    pub expires_at: Option<Timestamp>,
}

impl Terms {
    /// From when on and until when the lot can be spent once the event has come that it waits for, if it has.
    pub fn once_activated(
        self,
        activated_at: Option<Timestamp>,
        (program, wallet): (&Program, &Wallet),
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        if self.activates_at.is_some() {
            return (self.activates_at, self.expires_at);
        }
        let by_program = || activated_at.and_then(|at| program.expiry_of(wallet, at));
        (activated_at, self.expires_at.or_else(by_program))
    }
}

/// The same as it is recorded with a posting, where most of it is the usual. Instants are in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was earned, if not when the posting occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    earned_at: Option<i64>,
    /// From when on it can be spent, if not from when it was earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activates_at: Option<i64>,
    /// Whether it waits for an event instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waits: bool,
    /// From when on it no longer can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

impl Recorded {
    /// What a posting that makes lots tells of them, in the order of its lines.
    pub fn of(posting: &Posting, created: &[Lot]) -> Vec<Self> {
        let new = created.iter().map(|lot| (lot.lot_id.as_str(), lot));
        let mut new: HashMap<_, _> = new.collect();
        let lines = posting.entries.iter();
        let bring = lines.filter(|line| line.account == Account::Member && line.points > 0);
        let made = bring.filter_map(|line| new.remove(line.lot_id.as_deref()?));
        made.map(|lot| Self::of_lot(lot, posting.occurred_at))
            .collect()
    }

    fn of_lot(lot: &Lot, occurred_at: Timestamp) -> Self {
        let unless = |usual, at: Timestamp| (at != usual).then(|| at.micros());
        Self {
            earned_at: unless(occurred_at, lot.earned_at),
            activates_at: lot.activates_at.and_then(|at| unless(lot.earned_at, at)),
            waits: lot.activates_at.is_none(),
            expires_at: lot.expires_at.map(Timestamp::micros),
        }
    }

    /// What that says of a lot of a posting that occurred at an instant.
    pub fn terms(self, occurred_at: Timestamp) -> Terms {
        let earned_at = self.earned_at.map_or(occurred_at, Timestamp::from_micros);
        let activates_at = self.activates_at.map_or(earned_at, Timestamp::from_micros);
        Terms {
            earned_at,
            activates_at: (!self.waits).then_some(activates_at),
            expires_at: self.expires_at.map(Timestamp::from_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Kind;
    use crate::domain::plan::fixtures::{at, lot};
    use crate::domain::plan::{entry, lot_entry};

    fn posting(lots: &[&Lot]) -> Posting {
        let mut entries = vec![entry(Account::Issuance, -1)];
        for lot in lots {
            entries.push(lot_entry(&lot.lot_id, lot.original));
            entries.push(lot_entry(&lot.lot_id, -1));
            entries.push(lot_entry(&lot.lot_id, 1));
        }
        Posting {
            kind: Kind::Earn,
            entries,
            occurred_at: at(3),
        }
    }

    #[test]
    fn what_is_recorded_reads_back_in_the_order_of_the_lines() {
        let usual = Lot {
            earned_at: at(3),
            activates_at: Some(at(3)),
            ..lot("usual", 5)
        };
        let later = Lot {
            earned_at: at(2),
            activates_at: Some(at(4)),
            expires_at: Some(at(9)),
            ..lot("later", 5)
        };
        let waiting = Lot {
            earned_at: at(3),
            activates_at: None,
            ..lot("waiting", 5)
        };
        let posting = posting(&[&waiting, &usual, &later]);
        let created = [usual, later, waiting];
        let recorded = Recorded::of(&posting, &created);
        let json = serde_json::to_string(&recorded).unwrap();
        let [day2, day4, day9] = [2, 4, 9].map(|day| at(day).micros());
        assert_eq!(
            json,
            format!(
                r#"[{{"waits":true}},{{}},{{"earned_at":{day2},"activates_at":{day4},"expires_at":{day9}}}]"#
            )
        );
        let read: Vec<Recorded> = serde_json::from_str(&json).unwrap();
        for (read, lot) in read
            .into_iter()
            .zip([&created[2], &created[0], &created[1]])
        {
            let terms = Terms {
                earned_at: lot.earned_at,
                activates_at: lot.activates_at,
                expires_at: lot.expires_at,
            };
            assert_eq!(read.terms(posting.occurred_at), terms);
        }
    }
}
