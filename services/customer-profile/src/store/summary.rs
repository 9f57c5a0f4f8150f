//! Counts and sums over one customer's history.

use common::db::Access;
use common::ids::CustomerId;
use common::money::Currency;
use common::on;
use common::time::Timestamp;

use crate::domain::Channel;
use crate::error::Error;

/// Standing purchases in one currency.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SpendStats {
    /// The currency.
    pub currency: Currency,
    /// How many.
    pub count: i64,
    /// Sum of their totals: whole units. Apart from the rest, since a sum of micros may exceed 64 bits.
    pub units: i64,
    /// Sum of their totals: millionths beyond the whole units.
    pub micros: i64,
    /// When the first one happened.
    pub first_at: Timestamp,
    /// When the last one happened.
    pub last_at: Timestamp,
}

impl SpendStats {
    /// Sum of the totals, as far as 64 bits hold it.
    pub fn total_micros(&self) -> i64 {
        self.units
            .saturating_mul(1_000_000)
            .saturating_add(self.micros)
    }
}

/// Interactions over one channel.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct InteractionStats {
    /// The channel.
    pub channel: Channel,
    /// How many.
    pub count: i64,
    /// When the last one happened.
    pub last_at: Timestamp,
}

/// Standing purchases by currency, ordered by code.
pub async fn spend_stats(
    db: &mut impl Access,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<Vec<SpendStats>, Error> {
    const SELECT: &str = "
        SELECT currency,
            COUNT(*) AS count,
            CAST(SUM(total_micros / 1000000) AS BIGINT) AS units,
            CAST(SUM(total_micros % 1000000) AS BIGINT) AS micros,
            MIN(occurred_at) AS first_at,
            MAX(occurred_at) AS last_at
        FROM customer_transaction
        WHERE customer_id = $1 AND occurred_at <= $2 AND voided_at IS NULL
        GROUP BY currency
        ORDER BY currency";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .fetch_all(conn)
        .await)?)
}

/// Number of voided purchases.
pub async fn voided_count(
    db: &mut impl Access,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<i64, Error> {
    const SELECT: &str = "
        SELECT COUNT(*)
        FROM customer_transaction
        WHERE customer_id = $1 AND occurred_at <= $2 AND voided_at IS NOT NULL";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .fetch_one(conn)
        .await)?)
}

/// Interactions by channel.
pub async fn interaction_stats(
    db: &mut impl Access,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<Vec<InteractionStats>, Error> {
    const SELECT: &str = "
        SELECT channel, COUNT(*) AS count, MAX(occurred_at) AS last_at
        FROM interaction
        WHERE customer_id = $1 AND occurred_at <= $2
        GROUP BY channel
        ORDER BY channel";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .fetch_all(conn)
        .await)?)
}
