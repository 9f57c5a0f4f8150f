//! Interactions.

use common::db::{Access, Sql, Tx};
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::customer_row::stored_id;
use super::{Stretch, execute, json, rows};
use crate::domain::{Channel, Interaction, Key};
use crate::error::Error;

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Row {
    customer_id: String,
    interaction_id: String,
    source: String,
    external_id: String,
    channel: Channel,
    kind: String,
    subject: String,
    occurred_at: i64,
    recorded_at: i64,
}

macro_rules! select {
    ($from:expr) => {
        concat!(
            "SELECT i.customer_id, i.interaction_id, i.source, i.external_id, i.channel, i.kind, i.subject,
                i.occurred_at, i.recorded_at ",
            $from
        )
    };
}

/// The interactions recorded under the keys.
pub async fn find_by_keys(db: &mut impl Access, keys: &[&Key]) -> Result<Vec<Interaction>, Error> {
    const SELECT: Sql = rows!([source text, external_id text] select!(
        "FROM r
        JOIN interaction AS i ON i.source = r.source AND i.external_id = r.external_id
        ORDER BY i.source, i.external_id"));
    let (sql, keys) = (SELECT.text(db.dialect()), json(&keys));
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&keys)
        .fetch_all(conn)
        .await)?;
    rows.into_iter().map(Row::interaction).collect()
}

/// A stretch of a customer's interactions.
pub async fn list(db: &mut impl Access, stretch: Stretch<'_>) -> Result<Vec<Interaction>, Error> {
    const SELECT: &str = select!(
        "FROM interaction AS i
        WHERE i.customer_id = $1 AND i.occurred_at <= $2 AND (i.occurred_at, i.interaction_id) < ($3, $4)
        ORDER BY i.occurred_at DESC, i.interaction_id DESC
        LIMIT $5");
    let Stretch {
        customer_id,
        as_of,
        before,
        limit,
    } = stretch;
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    rows.into_iter().map(Row::interaction).collect()
}

/// Inserts new interactions; returns how many: fewer when another writer took a key since we looked.
pub async fn insert(tx: &mut Tx, interactions: &[&Interaction]) -> Result<u64, Error> {
    const INSERT: Sql = rows!(
        [customer_id text, interaction_id text, source text, external_id text, channel text, kind text,
            subject text, occurred_at bigint, recorded_at bigint]
        "INSERT INTO interaction (customer_id, interaction_id, source, external_id, channel, kind, subject,
            occurred_at, recorded_at)
        SELECT customer_id, interaction_id, source, external_id, channel, kind, subject, occurred_at, recorded_at
        FROM r
        WHERE TRUE
        ON CONFLICT (source, external_id) DO NOTHING");
    let mut rows: Vec<_> = interactions
        .iter()
        .map(|interaction| Row::from(*interaction))
        .collect();
    // As for purchases: unique keys are waited for in one order.
    rows.sort_by(|a, b| (&a.source, &a.external_id).cmp(&(&b.source, &b.external_id)));
    Ok(execute(tx, INSERT, &rows).await?)
}

impl From<&Interaction> for Row {
    fn from(interaction: &Interaction) -> Self {
        Self {
            customer_id: interaction.customer_id.to_string(),
            interaction_id: interaction.id.clone(),
            source: interaction.key.source.clone(),
            external_id: interaction.key.external_id.clone(),
            channel: interaction.channel,
            kind: interaction.kind.clone(),
            subject: interaction.subject.clone(),
            occurred_at: interaction.occurred_at.micros(),
            recorded_at: interaction.recorded_at.micros(),
        }
    }
}

impl Row {
    fn interaction(self) -> Result<Interaction, Error> {
        Ok(Interaction {
            id: self.interaction_id,
            customer_id: stored_id(&self.customer_id)?,
            key: Key {
                source: self.source,
                external_id: self.external_id,
            },
            channel: self.channel,
            kind: self.kind,
            subject: self.subject,
            occurred_at: Timestamp::from_micros(self.occurred_at),
            recorded_at: Timestamp::from_micros(self.recorded_at),
        })
    }
}
