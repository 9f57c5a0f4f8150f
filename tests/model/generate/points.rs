//! Earn, redeem, adjust, transfer, extend, reverse.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::returned_line::Share;
use pb::reverse_transaction_request::Extent;
use rand::Rng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::seen::Place;
use super::{Generator, SOURCE_TYPE, Seen, Whose};
use crate::answers::stamp;

/// What lines of earnings are called; no earning has the last one.
const LINES: [&str; 4] = ["a", "b", "c", "d"];

impl Generator {
    pub(super) fn earn(&mut self, whose: Whose, seen: &Seen, now: i64) -> pb::EarnPointsRequest {
        let occurred_at = self.sometimes(0.3, now, -5..5);
        let from = occurred_at.map_or(now, |at| at.max(now));
        let activates_on_event = self.rng.random_bool(0.3);
        let activates_at = self
            .sometimes(0.3, from, 0..10)
            .filter(|_| !activates_on_event);
        let from = activates_at.or(occurred_at).unwrap_or(now);
        // Points that wait may be given a while for it.
        let expires_at = if activates_on_event {
            self.sometimes(0.4, from, 5..40)
        } else {
            self.sometimes(0.6, from, 0..30)
        };
        pb::EarnPointsRequest {
            request_id: self.id(),
            points: self.rng.random_range(1..=150),
            source_type: SOURCE_TYPE.to_owned(),
            source_ref: self.source(&whose, seen),
            reason: self.reason(),
            lines: self.lines(),
            expires_at: expires_at.map(stamp),
            occurred_at: occurred_at.map(stamp),
            activates_at: activates_at.map(stamp),
            activates_on_event,
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn redeem(&mut self, whose: Whose) -> pb::RedeemPointsRequest {
        pb::RedeemPointsRequest {
            request_id: self.id(),
            points: self.rng.random_range(1..=120),
            reason: self.reason(),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn adjust(&mut self, whose: Whose, now: i64) -> pb::AdjustPointsRequest {
        let points = self.rng.random_range(1..=60);
        let given = self.rng.random_bool(0.5);
        let expires_at = self.sometimes(0.4, now, 0..20).filter(|_| given);
        pb::AdjustPointsRequest {
            request_id: self.id(),
            points: if given { points } else { -points },
            reason_code: "GOODWILL".to_owned(),
            reason: self.reason(),
            expires_at: expires_at.map(stamp),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn transfer(&mut self, whose: Whose) -> pb::TransferPointsRequest {
        pb::TransferPointsRequest {
            request_id: self.id(),
            to_customer_id: self.other_than(&whose.customer_id),
            points: self.rng.random_range(1..=60),
            reason: self.reason(),
            dry_run: self.dry(),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn extend(&mut self, seen: &Seen, now: i64) -> pb::ExtendExpiryRequest {
        let (program_id, customer_id, lot_id) = self.of(&seen.lots);
        pb::ExtendExpiryRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            lot_id,
            expires_at: Some(stamp(now + self.units(1..40))),
            reason: "for longer".to_owned(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    pub(super) fn reverse(&mut self, seen: &Seen) -> pb::ReverseTransactionRequest {
        if !seen.bought.is_empty() && self.rng.random_bool(0.2) {
            let posting = self.of(&seen.bought);
            let mut request = self.reverse_of(posting);
            if let Some(Extent::Lines(returned)) = &mut request.extent {
                for line in &mut returned.lines {
                    // Lines of purchases are called by their places.
                    let place = LINES.iter().position(|name| *name == line.line_id);
                    line.line_id = (place.expect("one of these") + 1).to_string();
                }
            }
            return request;
        }
        let posting = self.of(&seen.postings);
        self.reverse_of(posting)
    }

    pub(super) fn reverse_of(&mut self, posting: Place) -> pb::ReverseTransactionRequest {
        let (program_id, customer_id, transaction_id) = posting;
        let grace = self.rng.random_bool(0.5);
        let (refund_policy, grace_days) = if grace {
            (pb::RefundPolicy::Grace, self.rng.random_range(1..=3))
        } else {
            (pb::RefundPolicy::Expire, 0)
        };
        pb::ReverseTransactionRequest {
            request_id: self.id(),
            program_id,
            customer_id,
            transaction_id,
            reason: self.reason(),
            dry_run: self.dry(),
            extent: self.extent(),
            policy: self.rng.random_range(0..=3),
            refund_policy: refund_policy.into(),
            grace_days,
            ..Default::default()
        }
    }

    fn extent(&mut self) -> Option<Extent> {
        let money = |micros| {
            Some(Money {
                currency_code: "USD".to_owned(),
                micros,
            })
        };
        match self.rng.random_range(0..6) {
            0..2 => None,
            2 => Some(Extent::Points(self.rng.random_range(1..=100))),
            3 => {
                let original = self.rng.random_range(1..=97);
                Some(Extent::Returned(pb::ReturnedAmount {
                    original: money(original),
                    returned: money(self.rng.random_range(0..=original)),
                }))
            }
            _ => Some(Extent::Lines(pb::ReturnedLines {
                lines: self.returned(),
            })),
        }
    }

    /// One or two lines; now and then one that no earning has.
    fn returned(&mut self) -> Vec<pb::ReturnedLine> {
        let known = if self.rng.random_bool(0.05) { 4 } else { 3 };
        let mut lines = LINES[..known].to_vec();
        lines.shuffle(&mut self.rng);
        lines.truncate(self.rng.random_range(1..=2));
        let mut returned = Vec::new();
        for line_id in lines {
            let share = match self.rng.random_range(0..4) {
                0..2 => None,
                2 => Some(Share::Weight(self.rng.random_range(1..=40))),
                _ => Some(Share::Quantity(self.rng.random_range(1..=2))),
            };
            let line_id = line_id.to_owned();
            returned.push(pb::ReturnedLine { line_id, share });
        }
        returned
    }

    /// What an earning is for: often nothing that can be told apart.
    fn lines(&mut self) -> Vec<pb::EarnedLine> {
        let count = [0, 0, 2, 3].choose(&mut self.rng);
        let named = LINES.iter().take(*count.expect("there are some"));
        let mut line = |line_id: &&str| pb::EarnedLine {
            line_id: (*line_id).to_owned(),
            weight: self.rng.random_range(1..=90),
            quantity: self.rng.random_range(0..=4),
        };
        named.map(&mut line).collect()
    }

    /// Nearly always a new one. One that points wait for may earn in another currency too.
    fn source(&mut self, whose: &Whose, seen: &Seen) -> String {
        let (program_id, customer_id) = (&whose.program_id, &whose.customer_id);
        let same =
            |(program, customer, _): &&Place| program == program_id && customer == customer_id;
        let waiting = seen.waiting.iter().rev().take(10).find(same);
        let is_shared = self.may_be_merged(customer_id);
        let shared = seen.sources.iter();
        let shared = shared.filter(|(whose, _)| self.may_be_merged(whose) == is_shared);
        let shared: Vec<_> = shared.map(|(_, source)| source.clone()).collect();
        match (waiting, shared.choose(&mut self.rng)) {
            (Some((.., source)), _) if self.rng.random_bool(0.2) => source.clone(),
            (_, Some(source)) if self.rng.random_bool(0.08) => source.clone(),
            _ => self.id(),
        }
    }
}
