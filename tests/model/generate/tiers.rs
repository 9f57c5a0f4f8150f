//! Tiers, and overrides of them.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::service::{CLUB, CLUB_TIERS};

impl Generator {
    /// Of an instant: what is told without one may come from a cache, as old as the caller allows.
    pub(super) fn tier(&mut self, whose: Whose, now: i64) -> pb::GetTierRequest {
        pb::GetTierRequest {
            as_of: Some(stamp(now + self.units(-10..10))),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }

    pub(super) fn override_tier(&mut self, whose: Whose, now: i64) -> pb::OverrideTierRequest {
        let mut tiers = if whose.program_id == CLUB {
            CLUB_TIERS.map(|(name, ..)| name).to_vec()
        } else {
            vec!["Bronze", "Silver", "Gold"]
        };
        if self.rng.random_bool(0.05) {
            tiers = vec!["Platinum"];
        }
        let tier = tiers.choose(&mut self.rng).expect("there are some");
        pb::OverrideTierRequest {
            request_id: self.id(),
            tier: (*tier).to_owned(),
            reason: "as a favour".to_owned(),
            expires_at: self.sometimes(0.6, now, 0..6).map(stamp),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }

    pub(super) fn clear_override(&mut self, whose: Whose) -> pb::ClearOverrideRequest {
        pb::ClearOverrideRequest {
            request_id: self.id(),
            reason: "no longer".to_owned(),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }
}
