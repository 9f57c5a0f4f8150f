//! What is used of earning limits: read at once, noted, and written last.
//!
//! What all members share is neither locked to read it nor written before everything else is: others wait for it only
//! from then until the commit, and whoever holds it waits for nobody's customers. That it still fits is made sure of
//! when it is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::ids::CustomerId;

use super::Work;
use crate::store::limit_usage::{self, Root, UsageKey};

/// What a transaction knows of the usage of limits.
#[derive(Default)]
pub(super) struct Usage {
    /// As stored; absent in it: not yet begun.
    read: HashMap<UsageKey, Option<i64>>,
    /// What was noted, in order.
    noted: Vec<(UsageKey, i64)>,
    /// The same added up.
    sums: BTreeMap<UsageKey, i64>,
    /// Whom members stand for who stand for themselves.
    persons: HashMap<Root, Vec<CustomerId>>,
}

impl Usage {
    /// How much was noted.
    pub fn mark(&self) -> usize {
        self.noted.len()
    }

    /// Forgets what was noted since.
    pub fn undo_to(&mut self, mark: usize) {
        for (key, points) in self.noted.drain(mark..) {
            *self.sums.entry(key).or_default() -= points;
        }
    }
}

impl Work<'_> {
    /// Whether a customer was read.
    pub fn has_read(&self, customer_id: &CustomerId) -> bool {
        self.customers.contains_key(customer_id)
    }

    /// Whether any program that a customer who was read is a member of has limits.
    pub fn is_limited(&self) -> bool {
        let kept = self.customers.values();
        let mut standings = kept.flat_map(|kept| kept.standings.iter().flatten());
        standings.any(|row| row.value.limits_version > 0)
    }

    /// Reads whom members stand for, as far as it was not read before. They are locked: nobody else can change it.
    pub async fn read_persons(&mut self, roots: &[Root]) -> Result<(), common::Error> {
        let unknown = roots
            .iter()
            .filter(|root| !self.usage.persons.contains_key(root));
        // Each once: whoever is named twice would be told twice.
        let unknown: BTreeSet<_> = unknown.cloned().collect();
        let unknown: Vec<_> = unknown.into_iter().collect();
        if !unknown.is_empty() {
            let read = limit_usage::list_persons(self.tx, &unknown).await?;
            self.usage.persons.extend(read);
        }
        Ok(())
    }

    /// A member and all that it stands for, which was read before.
    pub fn person(&self, root: &Root) -> Vec<CustomerId> {
        self.usage.persons.get(root).cloned().unwrap_or_default()
    }

    /// Has whom members stand for read anew, after a merge or its end.
    pub async fn forget_persons(&mut self) -> Result<(), common::Error> {
        self.usage.persons.clear();
        // Who was merged into one of them before has another one standing for it now.
        self.forget_standings().await
    }

    /// Reads what is used, as far as it was not read before.
    pub async fn read_usage(&mut self, keys: &[UsageKey]) -> Result<(), common::Error> {
        let unknown = keys.iter().filter(|key| !self.usage.read.contains_key(key));
        let unknown: Vec<_> = unknown.cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        self.read_usage_anew(&unknown).await
    }

    /// Reads what is used, also what was read before a lock was taken.
    pub async fn read_usage_anew(&mut self, keys: &[UsageKey]) -> Result<(), common::Error> {
        let read = limit_usage::list(self.tx, keys).await?;
        let unused = keys.iter().map(|key| (key.clone(), None));
        self.usage.read.extend(unused);
        let used = read.into_iter().map(|(key, used)| (key, Some(used)));
        self.usage.read.extend(used);
        Ok(())
    }

    /// What is used, with what was noted. It was read before.
    pub fn used(&self, key: &UsageKey) -> i64 {
        let read = self.usage.read.get(key).copied().flatten();
        let noted = self.usage.sums.get(key).copied();
        read.unwrap_or(0) + noted.unwrap_or(0)
    }

    /// Notes what is earned under limits, or taken back.
    pub fn note_usage(&mut self, changes: Vec<(UsageKey, i64)>) {
        for (key, points) in changes {
            *self.usage.sums.entry(key.clone()).or_default() += points;
            self.usage.noted.push((key, points));
        }
    }

    /// Writes what was noted: last of all, before the commit. [`common::Error::Contended`] means that others have used
    /// what was left: nothing may be kept, and the same again finds it.
    pub async fn write_usage(&mut self) -> Result<(), common::Error> {
        let sums = std::mem::take(&mut self.usage.sums);
        let changes = sums.iter().filter(|(_, points)| **points != 0);
        let changes: Vec<_> = changes.map(|(key, points)| (key, *points)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let is_new = |key: &UsageKey| matches!(self.usage.read.get(key), Some(None));
        let new = changes.iter().map(|(key, _)| *key);
        let new: Vec<_> = new.filter(|key| is_new(key)).collect();
        if !new.is_empty() {
            limit_usage::open(self.tx, &new).await?;
        }
        if limit_usage::add(self.tx, &changes).await? {
            Ok(())
        } else {
            Err(common::Error::Contended)
        }
    }
}
