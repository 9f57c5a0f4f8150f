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
    /// Whether it is told when nothing else goes on. A tier by spend or frequency may count it, or no longer does,
    /// without a posting that tells of it; and between two tellings the customer may join a program.
    fn comes_alone(&self, happened: &[Happened]) -> bool {
        let total = self.purchase.total.as_ref().expect("always given");
        let is_money = total.currency_code == "USD" && total.micros > 0;
        // Of what was void before nothing is left that counts.
        let may_count = is_money && !self.is_void;
        match happened {
            [Recorded, Recorded] => true,
            [Recorded] => may_count && total.micros < 1_000_000,
            // What others take back by points may leave some of the money.
            [Voided] => may_count && !(self.is_private && self.has_earned),
            _ => false,
        }
    }
}

impl Generator {
    /// A new purchase, or what became of one: it is voided, or told of again.
    pub(super) fn announce(&mut self, whose: &Whose, now: i64) -> Announce {
        let mut whose = whose.clone();
        if self.may_be_merged(&whose.customer_id) {
            whose.customer_id = self.survivor_other_than("");
        }
        let whose = &whose;
        let before = self.bought.choose(&mut self.rng).cloned();
        let (bought, happened) = match (before, self.rng.random_range(0..10)) {
            (Some(bought), 0..4) => (bought, vec![Voided]),
            (Some(bought), 4) => (bought, vec![Recorded]),
            (_, 5) if self.is_here => (self.purchase(whose, now), vec![Recorded, Recorded]),
            (_, 6) if self.rng.random_bool(0.3) => {
                (self.purchase(whose, now), vec![Voided, Recorded])
            }
            _ => (self.purchase(whose, now), vec![Recorded]),
        };
        Announce {
            id: self.id(),
            // Elsewhere nothing but points counts for tiers.
            is_alone: self.is_here && bought.comes_alone(&happened),
            purchase: bought.purchase,
            happened,
            known: bought.known,
            is_void: bought.is_void,
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
