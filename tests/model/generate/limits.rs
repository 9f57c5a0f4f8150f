//! Limits of what may be earned.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Seen, Whose};
use crate::answers::stamp;
use crate::service::{CLUB, LIMITS};

impl Generator {
    /// Mostly so that a little more may be earned than is used. Now and then what is expected is long past.
    pub(super) fn set_limit(&mut self, seen: &Seen) -> pb::SetEarningLimitRequest {
        let ((limit_id, program_id, code, _), (scope, window), excess) =
            *LIMITS.choose(&mut self.rng).expect("there are some");
        let known = seen.limits.get(limit_id);
        let more = self.rng.random_range(-60..300);
        let points = match known {
            Some((_, used)) if self.rng.random_bool(0.65) => (used + more).max(0),
            _ => self.rng.random_range(200..4_000),
        };
        let window = match self.rng.random_range(0..100) {
            0..20 => pb::LimitWindow::Month,
            _ => window,
        };
        let excess = match self.rng.random_range(0..10) {
            0 => pb::LimitExcess::Refuse,
            1 => pb::LimitExcess::Clamp,
            _ => excess,
        };
        let expected = known.filter(|_| self.rng.random_bool(0.7));
        let is_past = self.rng.random_bool(0.15);
        let is_default = program_id != CLUB;
        let brief = is_default && self.rng.random_bool(0.5);
        pb::SetEarningLimitRequest {
            request_id: self.id(),
            program_id: if brief { "" } else { program_id }.to_owned(),
            limit: Some(pb::EarningLimit {
                limit_id: limit_id.to_owned(),
                scope: scope.into(),
                points_currency: if brief { "" } else { code }.to_owned(),
                window: window.into(),
                points,
                excess: excess.into(),
                ..Default::default()
            }),
            expected_version: expected
                .map_or(0, |(version, _)| (version - i64::from(is_past)).max(1)),
            reason: "as the budget says".to_owned(),
            dry_run: self.dry(),
        }
    }

    pub(super) fn usage(&mut self, whose: Whose, now: i64) -> pb::GetLimitUsageRequest {
        // What a person has used who is merged is told by who stands for it.
        let names_member = self.rng.random_bool(0.7) && !self.may_be_merged(&whose.customer_id);
        pb::GetLimitUsageRequest {
            as_of: self.sometimes(0.2, now, -30..30).map(stamp),
            program_id: whose.program_id,
            customer_id: if names_member {
                whose.customer_id
            } else {
                String::new()
            },
            ..Default::default()
        }
    }
}
