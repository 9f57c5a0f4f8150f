//! Batches.

use api::loyalty::v1 as pb;
use pb::batch_post_item::Item;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::seen::Place;
use super::{Generator, Seen, Whose};
use crate::operations::{Elsewhere, Request};

impl Generator {
    /// Several things of one customer, among them now and then that what a merged member began is taken back by who stands
    /// for it.
    pub(super) fn several(&mut self, whose: Whose, seen: &Seen, now: i64) -> Request {
        let begun = self.of_merged(&seen.postings, seen);
        let Some((begun, survivor)) = begun.filter(|_| self.rng.random_bool(0.4)) else {
            return Request::Batch(self.batch(&whose, seen, now));
        };
        let whose = Whose {
            customer_id: survivor,
            ..whose
        };
        let owner = begun.1.clone();
        let mut asked = self.batch(&whose, seen, now);
        // What a dry one would make has names that nobody knows.
        asked.dry_run = false;
        // Of no third one's part.
        let is_own = |it: &pb::BatchPostItem| !matches!(it.item, Some(Item::Transfer(_)));
        asked.items.retain(is_own);
        for _ in 0..self.rng.random_range(1..=2) {
            let place = self.rng.random_range(0..=asked.items.len());
            let item = Some(self.taken_back(begun.clone(), &whose));
            asked.items.insert(place, pb::BatchPostItem { item });
        }
        Request::Elsewhere(Elsewhere {
            asked: Box::new(Request::Batch(asked)),
            whose: vec![owner],
        })
    }

    /// What somebody else began is taken back by this one.
    fn taken_back(&mut self, (program_id, _, id): Place, by: &Whose) -> Item {
        Item::Reverse(pb::ReverseTransactionRequest {
            request_id: String::new(),
            dry_run: false,
            ..self.reverse_of((program_id, by.customer_id.clone(), id))
        })
    }

    /// Several things of one customer. All transfers go to the same other one, in the program that both are in, and
    /// that one is never merged, so that whether they are refused does not depend on the recipient.
    fn batch(&mut self, whose: &Whose, seen: &Seen, now: i64) -> pb::BatchPostRequest {
        let recipient = self.survivor_other_than(&whose.customer_id);
        let count = self.rng.random_range(1..=6);
        let mut items = Vec::new();
        for _ in 0..count {
            let item = self.item(whose, (seen, now), &recipient);
            items.push(pb::BatchPostItem { item: Some(item) });
        }
        pb::BatchPostRequest {
            request_id: self.id(),
            mode: self.rng.random_range(0..=2),
            items,
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    fn item(&mut self, whose: &Whose, (seen, now): (&Seen, i64), recipient: &str) -> Item {
        let own = seen.postings.iter().rev().take(60);
        let own: Vec<_> = own
            .filter(|(_, customer_id, _)| *customer_id == whose.customer_id)
            .collect();
        // Of the batch counts: its id, and whether it is dry.
        match (self.rng.random_range(0..10), own.choose(&mut self.rng)) {
            (0..4, _) => Item::Earn(pb::EarnPointsRequest {
                request_id: String::new(),
                dry_run: false,
                ..self.earn(whose.clone(), seen, now)
            }),
            (4..6, _) => Item::Redeem(pb::RedeemPointsRequest {
                request_id: String::new(),
                dry_run: false,
                ..self.redeem(whose.clone())
            }),
            (6, Some(posting)) => {
                let posting = (*posting).clone();
                Item::Reverse(pb::ReverseTransactionRequest {
                    request_id: String::new(),
                    dry_run: false,
                    ..self.reverse_of(posting)
                })
            }
            (7..9, _) => {
                let whose = Whose {
                    program_id: String::new(),
                    points_currency: String::new(),
                    ..whose.clone()
                };
                Item::Transfer(pb::TransferPointsRequest {
                    request_id: String::new(),
                    dry_run: false,
                    to_customer_id: recipient.to_owned(),
                    ..self.transfer(whose)
                })
            }
            _ => Item::Adjust(pb::AdjustPointsRequest {
                request_id: String::new(),
                dry_run: false,
                ..self.adjust(whose.clone(), now)
            }),
        }
    }
}
