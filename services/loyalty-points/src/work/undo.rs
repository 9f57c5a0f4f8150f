//! Undoing what one of several mutations noted, when it is refused.

use std::collections::BTreeSet;

use common::db::Gathered;
use common::ids::CustomerId;

use super::{AccountId, Care, Row, Work};
use crate::domain::lots::Lot;
use crate::domain::plan::Holding;
use crate::store::members::{Lock, Standing};
use crate::store::postings::SourceKey;

/// What something was before.
pub(super) enum Change {
    Lock(CustomerId, Option<Lock>),
    Standing(Box<Row<Standing>>),
    Account(CustomerId, AccountId, Option<Row<Holding>>),
    Lot(CustomerId, AccountId, String, Option<Row<Lot>>),
    Source(SourceKey),
}

/// A point to which [`Work::undo_to`] returns. They may nest.
pub struct Mark {
    changes: usize,
    postings: usize,
    entries: usize,
    purchases: usize,
    usage: usize,
    gathered: Gathered,
    direct_before: bool,
    locked: BTreeSet<CustomerId>,
}

impl Work<'_> {
    /// Where one of several mutations begins.
    pub async fn mark(&mut self) -> Result<Mark, common::Error> {
        let (gathered, locked) = match self.care {
            Care::Quick => (self.tx.gathered(), BTreeSet::new()),
            Care::Thorough => {
                self.flush().await?;
                let locked = self.customers.keys().chain(&self.held).cloned().collect();
                (self.tx.mark().await?, locked)
            }
        };
        let direct_before = std::mem::take(&mut self.direct);
        Ok(Mark {
            direct_before,
            locked,
            changes: self.changes.len(),
            postings: self.postings.len(),
            entries: self.entries.len(),
            purchases: self.purchases.len(),
            usage: self.usage.mark(),
            gathered,
        })
    }

    /// It went well.
    pub async fn keep(&mut self, mark: Mark) -> Result<(), common::Error> {
        self.direct |= mark.direct_before;
        match self.care {
            Care::Quick => Ok(()),
            Care::Thorough => {
                self.flush().await?;
                self.tx.release_mark().await
            }
        }
    }

    /// Undoes everything since, events included. False if that takes more care: something was written past this.
    pub async fn undo_to(&mut self, mark: Mark) -> Result<bool, common::Error> {
        match self.care {
            Care::Quick if self.direct => Ok(false),
            Care::Quick => {
                self.usage.undo_to(mark.usage);
                self.undo_in_memory(&mark);
                self.direct = mark.direct_before;
                Ok(true)
            }
            Care::Thorough => {
                self.usage.undo_to(mark.usage);
                self.postings.clear();
                self.entries.clear();
                self.purchases.clear();
                self.changes.clear();
                self.customers.clear();
                self.sources.clear();
                self.held = mark.locked;
                self.tx.undo_to(mark.gathered).await?;
                self.tx.release_mark().await?;
                Ok(true)
            }
        }
    }

    fn undo_in_memory(&mut self, mark: &Mark) {
        while self.changes.len() > mark.changes {
            match self.changes.pop() {
                Some(Change::Lock(customer_id, before)) => self.kept(&customer_id).lock = before,
                Some(Change::Standing(before)) => self.restore(*before),
                Some(Change::Account(customer_id, id, before)) => {
                    let accounts = &mut self.kept(&customer_id).accounts;
                    match before {
                        Some(before) => drop(accounts.insert(id, before)),
                        None => drop(accounts.remove(&id)),
                    }
                }
                Some(Change::Lot(customer_id, id, lot_id, before)) => {
                    let lots = self.lots_in(&customer_id, &id);
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
        self.purchases.truncate(mark.purchases);
        self.tx.forget_since(mark.gathered);
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
