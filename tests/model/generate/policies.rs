//! Other versions of tier policies.

use api::loyalty::v1 as pb;
use rand::Rng as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::operations::policy;

impl Generator {
    /// Now and then one that is expected to come after another than the latest, or to hold before that.
    pub(super) fn publish(&mut self, whose: Whose, now: i64) -> pb::PublishTierPolicyRequest {
        let number = self.rng.random_range(0..1000);
        let expected = self.rng.random_range(1..=6);
        let is_expected = self.rng.random_bool(0.15);
        pb::PublishTierPolicyRequest {
            request_id: self.id(),
            policy: Some(policy(&whose.program_id, number)),
            effective_at: self.sometimes(0.3, now, 0..4).map(stamp),
            reason: "for the better".to_owned(),
            expected_latest_version: if is_expected { expected } else { 0 },
            dry_run: self.dry(),
            program_id: whose.program_id,
        }
    }
}
