//! Authorise, capture, void, and what there is of it.

use api::loyalty::v1 as pb;
use rand::Rng as _;

use super::{Generator, Seen, Whose};

impl Generator {
    /// Whoever may be merged asks for more than anybody has.
    pub(super) fn authorize(&mut self, whose: Whose) -> pb::AuthorizeHoldRequest {
        let timeout = self.units(1..12);
        let mut whose = whose;
        if self.rng.random_bool(0.7) && self.may_be_merged(&whose.customer_id) {
            whose.customer_id = self.survivor_other_than("");
        }
        let points = if self.may_be_merged(&whose.customer_id) {
            1_000_000
        } else {
            self.rng.random_range(1..=60)
        };
        pb::AuthorizeHoldRequest {
            request_id: self.id(),
            points,
            timeout: Some(prost_types::Duration {
                seconds: timeout / 1_000_000,
                nanos: i32::try_from(timeout % 1_000_000).expect("below a second") * 1_000,
            }),
            reason: self.reason(),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn capture(&mut self, seen: &Seen) -> pb::CaptureHoldRequest {
        let (program_id, customer_id, hold_id) = self.of(&seen.holds);
        pb::CaptureHoldRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            hold_id,
            points: self.rng.random_range(1..=40),
            r#final: self.rng.random_bool(0.3),
            reason: self.reason(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    pub(super) fn void(&mut self, seen: &Seen) -> pb::VoidHoldRequest {
        let (program_id, customer_id, hold_id) = self.of(&seen.holds);
        pb::VoidHoldRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            hold_id,
            reason: self.reason(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    pub(super) fn hold(&mut self, seen: &Seen) -> pb::GetHoldRequest {
        let (program_id, customer_id, hold_id) = self.of(&seen.holds);
        pb::GetHoldRequest {
            program_id,
            customer_id,
            hold_id,
            ..Default::default()
        }
    }
}
