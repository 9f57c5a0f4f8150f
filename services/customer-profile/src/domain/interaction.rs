//! An interaction.

use common::ids::CustomerId;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Fact, Key};

/// A contact with a customer, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction {
    /// Identifier here.
    pub id: String,
    /// Whom it concerns.
    pub customer_id: CustomerId,
    /// What it is known by outside.
    pub key: Key,
    /// How it took place.
    pub channel: Channel,
    /// What it was.
    pub kind: String,
    /// What it was about; may name people.
    pub subject: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// How an interaction took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Channel {
    Email,
    Phone,
    Sms,
    Chat,
    Web,
    App,
    Store,
    Social,
    Mail,
    Other,
}

impl Fact for Interaction {
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
            ("channel", self.channel != other.channel),
            ("type", self.kind != other.kind),
            ("subject", self.subject != other.subject),
            ("occurred_at", self.occurred_at != other.occurred_at),
        ];
        fields
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(field, _)| field)
            .collect()
    }
}
