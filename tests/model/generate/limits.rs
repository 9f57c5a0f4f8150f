//! Limits of what may be earned.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Seen, Whose};
use crate::answers::stamp;
use crate::service::{CLUB, LIMITS, Limit};

/// What divides the id of a limit that is new from that of one like it, which there was from the start.
const FURTHER: &str = ".";

/// Whether a limit is none of those that there were from the start.
pub fn is_further(limit_id: &str) -> bool {
    limit_id.contains(FURTHER)
}

impl Generator {
    /// Mostly so that a little more may be earned than is used. Now and then what is expected is long past.
    pub(super) fn set_limit(&mut self, seen: &Seen) -> pb::SetEarningLimitRequest {
        let ((limit_id, program_id, code, _), (scope, window), excess) =
            *LIMITS.choose(&mut self.rng).expect("there are some");
        let limit_id = if self.rng.random_bool(0.25) {
            let number = self.rng.random_range(0..2);
            format!("{limit_id}{FURTHER}{}.{number}", self.customers[0])
        } else {
            limit_id.to_owned()
        };
        let known = seen.limits.get(&limit_id);
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
                limit_id,
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

    /// Mostly a further one that holds.
    pub(super) fn end_limit(&mut self, seen: &Seen) -> pb::EndEarningLimitRequest {
        let wants_further = self.rng.random_bool(0.7);
        let wanted = seen.limits.iter();
        let wanted: Vec<_> = wanted
            .filter(|(limit_id, _)| is_further(limit_id) == wants_further)
            .collect();
        let known = wanted.choose(&mut self.rng).copied();
        let known = known.map(|(limit_id, (version, _))| (limit_id.clone(), *version));
        let is_known = self.rng.random_bool(0.95);
        let (limit_id, version) = known
            .filter(|_| is_known)
            .unwrap_or_else(|| ("nothing".to_owned(), 0));
        let is_of = |it: &&Limit| limit_id.split(FURTHER).next() == Some(it.0.0);
        let program_id = LIMITS.iter().find(is_of).map_or("", |it| it.0.1);
        pb::EndEarningLimitRequest {
            request_id: self.id(),
            program_id: program_id.to_owned(),
            limit_id,
            expected_version: if self.rng.random_bool(0.4) {
                version
            } else {
                0
            },
            reason: "enough of it".to_owned(),
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
