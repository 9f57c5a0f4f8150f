//! What is told of points that are passed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ids::CustomerId;

use super::{Amounts, lock_of, unmade};
use crate::domain::program::Program;
use crate::error::Error;
use crate::work::Work;

/// What went from one member to another beside what was asked for, as members are merged.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Who had it.
    pub from: CustomerId,
    /// Who has it.
    pub to: CustomerId,
    /// What it was.
    pub moved: Amounts,
}

/// What was passed on, and the revisions of members after it all.
#[derive(Debug)]
pub struct Passing {
    /// The program.
    pub program: Arc<Program>,
    /// From hand to hand, in that order.
    pub steps: Vec<Passed>,
    /// Of everybody who received something, and of who was asked.
    pub revisions: BTreeMap<CustomerId, i64>,
    /// Who was asked.
    pub asked: CustomerId,
}

impl Passing {
    /// What went on, of members who are locked.
    pub async fn of(
        work: &mut Work<'_>,
        program: Arc<Program>,
        (asked, steps): (CustomerId, Vec<Passed>),
    ) -> Result<Self, Error> {
        let mut revisions = BTreeMap::new();
        for customer_id in steps.iter().map(|step| &step.to).chain([&asked]) {
            let lock = lock_of(work, customer_id).await?;
            revisions.insert(customer_id.clone(), lock.revision);
        }
        Ok(Self {
            program,
            steps,
            revisions,
            asked,
        })
    }

    /// The same of what will not have been.
    #[must_use]
    pub fn unmade(mut self) -> Self {
        self.revisions.clear();
        unmade(self.steps.iter_mut().map(|step| &mut step.moved));
        self
    }
}
