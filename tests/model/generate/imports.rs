//! Rows of another system's ledger.

use api::loyalty::v1 as pb;
use pb::ImportKind;
use rand::Rng as _;
use rand::seq::IteratorRandom as _;

use super::{Generator, Seen, Whose};
use crate::answers::stamp;
use crate::operations::Import;

const SYSTEM: &str = "the old one";

impl Generator {
    /// A few rows, now and then of several customers; and one that was imported before, or another one under its name.
    pub(super) fn import(&mut self, whose: &Whose, seen: &Seen, now: i64) -> Import {
        let chunk = self.id();
        let own = seen.rows.iter();
        let own = own.filter(|(_, row)| row.customer_id == whose.customer_id);
        let before = own.choose(&mut self.rng);
        let before = before.filter(|_| self.rng.random_bool(0.4));
        let header = match before {
            Some((header, _)) => pb::ImportHeader {
                dry_run: self.dry(),
                ..header.clone()
            },
            None => pb::ImportHeader {
                program_id: whose.program_id.clone(),
                points_currency: whose.points_currency.clone(),
                source_system: SYSTEM.to_owned(),
                enroll_missing: self.rng.random_bool(0.5),
                dry_run: self.dry(),
                at_least: String::new(),
            },
        };
        let mut rows: Vec<_> = before.map(|(_, row)| row.clone()).into_iter().collect();
        let mut new = Vec::new();
        for n in 0..self.rng.random_range(1..=3) {
            let external_id = format!("{chunk}/{n}");
            new.push(external_id.clone());
            let customer_id = if self.rng.random_bool(0.2) {
                self.member().1
            } else {
                whose.customer_id.clone()
            };
            rows.push(pb::ImportRow {
                customer_id,
                external_id,
                ..self.row(now)
            });
        }
        if before.is_some() && self.rng.random_bool(0.5) {
            // Away from zero, which no row may have.
            rows[0].points += rows[0].points.signum();
        }
        let numbered = (1..).zip(rows).map(|(row, it)| pb::ImportRow { row, ..it });
        Import {
            chunk: pb::ImportTransactionsRequest {
                rows: numbered.collect(),
                header: Some(header),
            },
            new,
        }
    }

    fn row(&mut self, now: i64) -> pb::ImportRow {
        // So long ago that it stays in the past, also where the clock goes back.
        let recent = now - self.unit / 8;
        let at = if self.rng.random_bool(0.3) {
            recent
        } else {
            recent - self.units(0..8)
        };
        let points = self.rng.random_range(1..=60);
        let kind = match self.rng.random_range(0..20) {
            0..8 => ImportKind::Earn,
            8..13 => ImportKind::Redeem,
            13..15 => ImportKind::Expire,
            _ => ImportKind::Adjust,
        };
        let is_taken = kind == ImportKind::Adjust && self.rng.random_bool(0.5);
        let gives = match kind {
            ImportKind::Earn => true,
            ImportKind::Adjust => !is_taken,
            _ => false,
        };
        let is_earned = kind == ImportKind::Earn;
        let activates_at = self.sometimes(0.3, at, 0..10).filter(|_| is_earned);
        let from = activates_at.unwrap_or(at) + 1;
        let expires_at = self.sometimes(0.5, from, 0..30).filter(|_| gives);
        let can_force = is_taken || kind == ImportKind::Redeem;
        let force = can_force && self.rng.random_bool(0.3);
        let reason = if force { "as it was there" } else { "" };
        let is_adjusted = kind == ImportKind::Adjust;
        pb::ImportRow {
            kind: kind.into(),
            points: if is_taken { -points } else { points },
            occurred_at: Some(stamp(at)),
            activates_at: activates_at.map(stamp),
            expires_at: expires_at.map(stamp),
            not_qualifying: is_earned && self.rng.random_bool(0.3),
            reason: reason.to_owned(),
            reason_code: if is_adjusted { "TAKEN_OVER" } else { "" }.to_owned(),
            force,
            ..Default::default()
        }
    }
}
