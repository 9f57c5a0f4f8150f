//! Writing what was noted, one statement for each table.

use super::{Kept, RowState, Work};
use crate::store::accounts::{self, AccountKey};
use crate::store::lots::{self, NewLot};
use crate::store::{entries, members, postings, purchases};

impl Work<'_> {
    /// Writes what was noted. [`common::Error::Contended`] means that another transaction has posted one of the sources
    /// since they were read: nothing may be kept, and the same again finds it.
    pub async fn flush(&mut self) -> Result<(), common::Error> {
        self.write_postings().await?;
        self.write_lots().await?;
        self.write_purchases().await?;
        self.write_accounts().await?;
        self.write_members().await?;
        // What is written can no longer be undone here.
        self.direct |= !self.changes.is_empty();
        self.changes.clear();
        Ok(())
    }

    async fn write_postings(&mut self) -> Result<(), common::Error> {
        if self.postings.is_empty() {
            return Ok(());
        }
        if !postings::insert(self.tx, &self.postings).await? {
            return Err(common::Error::Contended);
        }
        entries::insert(self.tx, &self.entries).await?;
        self.postings.clear();
        self.entries.clear();
        Ok(())
    }

    async fn write_purchases(&mut self) -> Result<(), common::Error> {
        if !self.purchases.is_empty() {
            purchases::insert(self.tx, &self.purchases).await?;
            self.purchases.clear();
            self.direct = true;
        }
        Ok(())
    }

    async fn write_lots(&mut self) -> Result<(), common::Error> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for (customer_id, kept) in &self.customers {
            for ((program_id, _), lots) in kept.lots.iter().flatten() {
                for row in lots.values() {
                    let lot = &row.value;
                    match &row.state {
                        RowState::Stored => {}
                        RowState::Changed => changed.push((customer_id, lot)),
                        RowState::New(posting_id) => new.push(NewLot {
                            customer_id,
                            program_id,
                            posting_id,
                            lot,
                        }),
                    }
                }
            }
        }
        if !new.is_empty() {
            lots::insert(self.tx, &new).await?;
        }
        if !changed.is_empty() {
            lots::update(self.tx, &changed).await?;
        }
        for kept in self.customers.values_mut() {
            for (_, lots) in kept.lots.iter_mut().flatten() {
                for row in lots.values_mut() {
                    row.state = RowState::Stored;
                }
            }
        }
        Ok(())
    }

    async fn write_accounts(&mut self) -> Result<(), common::Error> {
        let mut changed = Vec::new();
        for (customer_id, kept) in &self.customers {
            for ((program_id, wallet), row) in &kept.accounts {
                let key = AccountKey {
                    customer_id,
                    program_id,
                    wallet,
                };
                if row.state != RowState::Stored {
                    changed.push((key, row.value));
                }
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        accounts::update(self.tx, &changed).await?;
        for kept in self.customers.values_mut() {
            for row in kept.accounts.values_mut() {
                row.state = RowState::Stored;
            }
        }
        Ok(())
    }

    async fn write_members(&mut self) -> Result<(), common::Error> {
        let kept = || self.customers.values();
        let rows = kept().flat_map(|kept| kept.standings.iter().flatten());
        let changed = rows.filter(|row| row.state != RowState::Stored);
        let changed: Vec<_> = changed.map(|row| &row.value).collect();
        if !changed.is_empty() {
            members::update(self.tx, &changed).await?;
        }
        let moved = |kept: &Kept| {
            let revision = kept.lock.as_ref()?.revision;
            (revision != kept.stored_revision).then_some(revision)
        };
        let revisions = self.customers.iter();
        let revisions: Vec<_> = revisions
            .filter_map(|(customer_id, kept)| Some((customer_id, moved(kept)?)))
            .collect();
        if !revisions.is_empty() {
            members::update_revisions(self.tx, &revisions).await?;
        }
        for kept in self.customers.values_mut() {
            kept.stored_revision = kept.lock.as_ref().map_or(0, |lock| lock.revision);
            for row in kept.standings.iter_mut().flatten() {
                row.state = RowState::Stored;
            }
        }
        Ok(())
    }
}
