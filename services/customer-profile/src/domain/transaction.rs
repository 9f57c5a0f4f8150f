//! A purchase.

use common::ids::CustomerId;
use common::money::Money;
use common::time::Timestamp;

use super::{Fact, Key};

/// The largest amount, a billion units: the sum of a purchase's lines then fits 64 bits.
pub const AMOUNT_MICROS_MAX: i64 = 1_000_000_000_000_000;

/// A purchase, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Identifier here.
    pub id: String,
    /// Who bought.
    pub customer_id: CustomerId,
    /// What it is known by outside.
    pub key: Key,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What was paid.
    pub total: Money,
    /// What was bought, in the currency of the total.
    pub lines: Vec<Line>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Set once it counts no more.
    pub voided: Option<Voided>,
}

/// One line of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Article.
    pub sku: String,
    /// Category of the article.
    pub category: String,
    /// Pieces.
    pub quantity: i64,
    /// Amount of the whole line.
    pub amount_micros: i64,
}

/// When and why a purchase was voided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voided {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Fact for Transaction {
    fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn differing(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("customer_id", self.customer_id != other.customer_id),
            ("occurred_at", self.occurred_at != other.occurred_at),
            ("total", self.total != other.total),
            ("lines", self.lines != other.lines),
        ];
        fields
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(field, _)| field)
            .collect()
    }
}
