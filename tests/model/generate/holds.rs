//! Authorise, capture, void, and what there is of it.

use api::loyalty::v1 as pb;
use rand::Rng as _;

use super::{Generator, NOBODY, Seen, Whose};
use crate::model::DAY;

/// Longer than a round takes.
const HELD: i64 = 7 * DAY;

impl Generator {
    /// Holds of whoever may be merged outlast the round: what they let go would go on to somebody else.
    pub(super) fn authorize(&mut self, whose: Whose) -> pb::AuthorizeHoldRequest {
        let timeout = self.units(1..12);
        let may_be_merged = self.may_be_merged(&whose.customer_id);
        let timeout = if may_be_merged { HELD } else { timeout };
        pb::AuthorizeHoldRequest {
            request_id: self.id(),
            points: self.rng.random_range(1..=60),
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
        let r#final = self.rng.random_bool(0.3) && !self.may_be_merged(&customer_id);
        pb::CaptureHoldRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            hold_id,
            points: self.rng.random_range(1..=40),
            r#final,
            reason: self.reason(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    pub(super) fn void(&mut self, seen: &Seen) -> pb::VoidHoldRequest {
        let (program_id, customer_id, mut hold_id) = self.of(&seen.holds);
        if self.may_be_merged(&customer_id) {
            NOBODY.clone_into(&mut hold_id);
        }
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
