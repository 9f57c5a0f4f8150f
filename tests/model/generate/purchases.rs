//! Purchases that the customer service tells of.

use api::customer::v1 as customer;
use api::r#type::v1::Money;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::operations::purchases::Happened::{self, Recorded, Voided};
use crate::operations::{Announce, Response};

/// A purchase of a caller, who alone goes on telling of it.
#[derive(Debug, Clone)]
pub struct Bought {
    purchase: customer::Transaction,
    /// The postings made for it.
    known: Vec<String>,
    is_void: bool,
    is_private: bool,
    /// Whether it has earned something, and where everybody is a member.
    has_earned: bool,
}

impl Bought {
    /// Whether it is worth a point; else it may count for a tier all the same, and leaves no posting.
    fn earns(&self) -> bool {
        let total = self.purchase.total.as_ref().expect("always given");
        total.currency_code == "USD" && total.micros >= 1_000_000
    }
}

impl Generator {
    /// A new purchase, or what became of one.
    pub(super) fn announce(&mut self, whose: &Whose, now: i64) -> Announce {
        loop {
            let announce = self.any(whose, now);
            if self.is_here || !announce.is_alone {
                return announce;
            }
        }
    }

    /// The same; an old one is voided, or told of again.
    fn any(&mut self, whose: &Whose, now: i64) -> Announce {
        let mut whose = whose.clone();
        if self.may_be_merged(&whose.customer_id) {
            whose.customer_id = self.survivor_other_than("");
        }
        let whose = &whose;
        let before = self.bought.choose(&mut self.rng).cloned();
        let (bought, happened) = match (before, self.rng.random_range(0..10)) {
            (Some(bought), 0..4) => (bought, vec![Voided]),
            (Some(bought), 4) => (bought, vec![Recorded]),
            (_, 5) => (self.purchase(whose, now), vec![Recorded, Recorded]),
            (_, 6) if self.rng.random_bool(0.3) => {
                (self.purchase(whose, now), vec![Voided, Recorded])
            }
            _ => (self.purchase(whose, now), vec![Recorded]),
        };
        let leaves_a_posting = match happened[..] {
            [Recorded] => bought.known.is_empty() && bought.earns(),
            [Voided] => bought.is_private && bought.has_earned && !bought.is_void,
            _ => false,
        };
        Announce {
            id: self.id(),
            purchase: bought.purchase,
            happened,
            known: bought.known,
            is_alone: !leaves_a_posting,
            is_private: bought.is_private,
        }
    }

    fn purchase(&mut self, whose: &Whose, now: i64) -> Bought {
        let occurred_at = self.sometimes(0.6, now, -5..5).unwrap_or(now);
        let cents = self.rng.random_range(0..12_000);
        let currency = ["USD", "USD", "USD", "USD", "USD", "EUR"].choose(&mut self.rng);
        let currency = *currency.expect("there are some");
        let mut line = |_| customer::TransactionLine {
            quantity: self.rng.random_range(1..=4),
            amount: Some(money(currency, self.rng.random_range(0..4_000))),
            ..Default::default()
        };
        let lines = (0..3).map(&mut line).collect();
        Bought {
            purchase: customer::Transaction {
                transaction_id: self.id(),
                customer_id: whose.customer_id.clone(),
                occurred_at: Some(stamp(occurred_at)),
                total: Some(money(currency, cents)),
                lines,
                ..Default::default()
            },
            known: Vec::new(),
            is_void: false,
            is_private: self.rng.random_bool(0.5),
            has_earned: false,
        }
    }

    /// Remembers what became of a purchase.
    pub fn remember(&mut self, announce: &Announce, response: &Response) {
        let id = &announce.purchase.transaction_id;
        let mut known = self.bought.iter_mut();
        let known = known.find(|bought| bought.purchase.transaction_id == *id);
        let Response::Announce(announced) = response else {
            return;
        };
        let made = announced.postings.iter().flatten();
        let made = made.map(|posting| posting.transaction_id.clone());
        let is_void = announce.happened.contains(&Happened::Voided);
        if let Some(known) = known {
            known.known.extend(made);
            known.is_void |= is_void;
        } else if !is_void {
            let earned = announced.postings.first().and_then(Option::as_ref);
            self.bought.push(Bought {
                purchase: announce.purchase.clone(),
                known: made.collect(),
                is_void,
                is_private: announce.is_private,
                has_earned: earned.is_some_and(|posting| posting.points > 0),
            });
        }
    }
}

fn money(currency: &str, cents: i64) -> Money {
    Money {
        currency_code: currency.to_owned(),
        micros: cents * 10_000,
    }
}
