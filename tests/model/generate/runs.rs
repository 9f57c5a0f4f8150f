//! What is asked for of all members at once.

use api::loyalty::v1 as pb;
use rand::Rng as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::operations::{Recalculate, Sweep};

impl Generator {
    pub(super) fn sweep(&mut self) -> Sweep {
        let asked = pb::SweepExpiryRequest {
            dry_run: self.dry(),
            request_id: self.id(),
            reason: self.reason(),
        };
        Sweep::of_all(asked, &self.customers)
    }

    /// In batches of several sizes. A dry one may be about another instant, which makes no sense of one that is not.
    pub(super) fn recalculate(&mut self, whose: Whose, now: i64) -> Recalculate {
        let dry_run = self.rng.random_bool(0.2);
        let as_of = self.sometimes(0.4, now, -2..10);
        let has_instant = dry_run || self.rng.random_bool(0.05);
        let asked = pb::RecalculateTiersRequest {
            program_id: whose.program_id,
            page_size: self.rng.random_range(0..6),
            dry_run,
            as_of: as_of.filter(|_| has_instant).map(stamp),
            request_id: self.id(),
            reason: self.reason(),
            ..Default::default()
        };
        Recalculate::of_all(asked, &self.customers)
    }
}
