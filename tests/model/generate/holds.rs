//! Authorise, capture, void, and what there is of it.

use api::loyalty::v1 as pb;
use rand::Rng as _;

use super::seen::Place;
use super::{Generator, Seen, Whose};
use crate::model::DAY;

/// Longer than a round takes.
const HELD: i64 = 7 * DAY;

impl Generator {
    /// Half of the holds of whoever may be merged outlast the round, so that some are left to be captured and voided, and
    /// all where sweeps go on in the background, which tell nobody what goes on to somebody else.
    pub(super) fn authorize(&mut self, whose: Whose) -> pb::AuthorizeHoldRequest {
        let timeout = self.units(1..12);
        let outlasts = self.may_be_merged(&whose.customer_id)
            && (!self.asks_for_sweeps || self.rng.random_bool(0.5));
        let timeout = if outlasts { HELD } else { timeout };
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
        let (program_id, customer_id, hold_id) = self.held(seen);
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
        let (program_id, customer_id, hold_id) = self.held(seen);
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

    /// Those of merged members are come back to more often.
    fn held(&mut self, seen: &Seen) -> Place {
        let of_merged = self.of_merged(&seen.holds, seen);
        match of_merged.filter(|_| self.rng.random_bool(0.8)) {
            Some((hold, _)) => hold,
            None => self.of(&seen.holds),
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
