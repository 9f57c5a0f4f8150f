//! Points that wait for an event: activate, cancel.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, SOURCE_TYPE, Seen};

impl Generator {
    pub(super) fn activate(&mut self, seen: &Seen) -> pb::ActivatePendingRequest {
        let (program_id, customer_id, source_ref) = self.of(&seen.waiting);
        pb::ActivatePendingRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            source_type: SOURCE_TYPE.to_owned(),
            source_ref,
            transaction_id: self.only(seen),
            reason: self.reason(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    pub(super) fn cancel(&mut self, seen: &Seen) -> pb::CancelPendingRequest {
        let same = self.activate(seen);
        pb::CancelPendingRequest {
            request_id: same.request_id,
            program_id: same.program_id,
            customer_id: same.customer_id,
            source_type: same.source_type,
            source_ref: same.source_ref,
            transaction_id: same.transaction_id,
            reason: same.reason,
            dry_run: same.dry_run,
            ..Default::default()
        }
    }

    /// Now and then only one earning: hardly ever one of this source.
    fn only(&mut self, seen: &Seen) -> String {
        match seen.postings.choose(&mut self.rng) {
            Some((.., id)) if self.rng.random_bool(0.05) => id.clone(),
            _ => String::new(),
        }
    }
}
