//! Tiers, and overrides of them.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::model::{DAY, GRACE, start_of, year_of};
use crate::service::{CLUB, CLUB_TIERS};

impl Generator {
    /// Of an instant: what is told without one may come from a cache, as old as the caller allows.
    pub(super) fn tier(&mut self, whose: Whose, now: i64) -> pb::GetTierRequest {
        let at = if self.rng.random_bool(0.5) {
            now + self.units(-10..10)
        } else {
            self.turn(now)
        };
        pb::GetTierRequest {
            as_of: Some(stamp(at)),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }

    /// From an instant, or from now on.
    pub(super) fn progress(&mut self, whose: Whose, now: i64) -> pb::GetTierProgressRequest {
        let asked = self.tier(whose, now);
        pb::GetTierProgressRequest {
            as_of: asked.as_of.filter(|_| self.rng.random_bool(0.6)),
            program_id: asked.program_id,
            customer_id: asked.customer_id,
            ..Default::default()
        }
    }

    /// About when a year of some kind or the grace after it ends, or a tier falls that is held in a window.
    fn turn(&mut self, now: i64) -> i64 {
        let year = start_of(year_of(now) + self.rng.random_range(-1..4));
        let from = [year, year + 58 * DAY, now + 365 * DAY, now + 730 * DAY];
        let from = *from.choose(&mut self.rng).expect("there are some");
        let grace = *[0, DAY, GRACE]
            .choose(&mut self.rng)
            .expect("there are some");
        from + grace - self.rng.random_range(0..2)
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
