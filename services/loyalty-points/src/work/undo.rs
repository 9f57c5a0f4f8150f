//! Undoing what one of several mutations noted, when it is refused.

use common::db::Gathered;
use common::ids::CustomerId;

use super::{OpenLot, Row, Work};
use crate::store::members::{Lock, Standing};
use crate::store::postings::SourceKey;

/// What something was before.
pub(super) enum Change {
    Lock(CustomerId, Option<Lock>),
    Standing(Box<Row<Standing>>),
    Lot(CustomerId, String, Option<OpenLot>),
    Source(SourceKey),
}

/// A point to which [`Work::undo_to`] returns.
pub struct Mark {
    changes: usize,
    postings: usize,
    entries: usize,
    gathered: Gathered,
}

impl Work<'_> {
    /// Where a mutation begins.
    pub fn mark(&mut self) -> Mark {
        self.direct = false;
        Mark {
            changes: self.changes.len(),
            postings: self.postings.len(),
            entries: self.entries.len(),
            gathered: self.tx.gathered(),
        }
    }

    /// Undoes what was noted since, events included; false if it wrote something already.
    pub fn undo_to(&mut self, mark: &Mark) -> bool {
        if self.direct {
            return false;
        }
        while self.changes.len() > mark.changes {
            match self.changes.pop() {
                Some(Change::Lock(customer_id, before)) => self.kept(&customer_id).lock = before,
                Some(Change::Standing(before)) => self.restore(*before),
                Some(Change::Lot(customer_id, lot_id, before)) => {
                    let lots = self.kept(&customer_id).lots.get_or_insert_default();
                    match before {
                        Some(before) => drop(lots.insert(lot_id, before)),
                        None => drop(lots.remove(&lot_id)),
                    }
                }
                Some(Change::Source(key)) => drop(self.sources.insert(key, None)),
                None => break,
            }
        }
        self.postings.truncate(mark.postings);
        self.entries.truncate(mark.entries);
        self.tx.forget_since(mark.gathered);
        true
    }

    fn restore(&mut self, before: Row<Standing>) {
        let member = &before.value.member;
        let kept = self.kept(&member.customer_id.clone());
        let rows = kept.standings.iter_mut().flatten();
        let mut same = rows.filter(|row| row.value.member.program_id == member.program_id);
        if let Some(row) = same.next() {
            *row = before;
        }
    }
}
