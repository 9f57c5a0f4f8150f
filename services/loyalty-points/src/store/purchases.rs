//! Purchases, as far as tiers go.

use common::db::{Access, Sql, Tx, json_rows};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

/// Which purchase of whom in which program.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "they are columns")]
pub struct PurchaseKey<'a> {
    /// The customer.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// The purchase.
    pub transaction_id: &'a str,
}

/// A purchase to append. Times are microseconds since 1970.
#[derive(Debug, Serialize)]
pub struct NewPurchase {
    /// The customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The purchase.
    pub transaction_id: String,
    /// When it happened.
    pub occurred_at: i64,
    /// When it is recorded.
    pub recorded_at: i64,
    /// What was paid, in micros.
    pub spend: i64,
    /// Points by the base rule alone.
    pub base_points: i64,
    /// The tier it earned in.
    pub tier: String,
    /// What that made of it, in basis points.
    pub multiplier: i64,
    /// By which version of the policy.
    pub policy_version: i64,
}

/// Appends purchases, without effect for those that are known.
pub async fn insert(tx: &mut Tx, new: &[NewPurchase]) -> Result<(), common::Error> {
    // SQLite takes ON after FROM for a join unless there is a WHERE.
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO purchases
                (customer_id, program_id, transaction_id, occurred_at, recorded_at, spend, remaining,
                 base_points, tier, multiplier, policy_version)
            SELECT customer_id, program_id, transaction_id, occurred_at, recorded_at, spend, spend,
                   base_points, tier, multiplier, policy_version
            FROM json_to_recordset(CAST($1 AS json))
                AS purchase (customer_id TEXT, program_id TEXT, transaction_id TEXT, occurred_at BIGINT,
                             recorded_at BIGINT, spend BIGINT, base_points BIGINT, tier TEXT,
                             multiplier BIGINT, policy_version BIGINT)
            ON CONFLICT (customer_id, program_id, transaction_id) DO NOTHING",
        sqlite: "
            INSERT INTO purchases
                (customer_id, program_id, transaction_id, occurred_at, recorded_at, spend, remaining,
                 base_points, tier, multiplier, policy_version)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                   value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9
            FROM jsonb_each($1)
            WHERE TRUE
            ON CONFLICT (customer_id, program_id, transaction_id) DO NOTHING",
    };
    let text = INSERT.text(tx.dialect());
    let new = json_rows(tx.dialect(), new);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(new)
        .execute(conn)
        .await
        .map(drop))?)
}

/// What was paid and what is left of it.
pub async fn find(
    db: &mut impl Access,
    key: PurchaseKey<'_>,
) -> Result<Option<(i64, i64)>, common::Error> {
    const SELECT: &str = "
        SELECT spend, remaining
        FROM purchases
        WHERE customer_id = $1 AND program_id = $2 AND transaction_id = $3";
    Ok(on!(db, |conn| sqlx::query_as::<_, (i64, i64)>(SELECT)
        .bind(key.customer_id)
        .bind(key.program_id)
        .bind(key.transaction_id)
        .fetch_optional(conn)
        .await)?)
}

/// Writes what is left of a purchase.
pub async fn update(
    tx: &mut Tx,
    key: PurchaseKey<'_>,
    remaining: i64,
) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE purchases
        SET remaining = $4
        WHERE customer_id = $1 AND program_id = $2 AND transaction_id = $3";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(key.customer_id)
        .bind(key.program_id)
        .bind(key.transaction_id)
        .bind(remaining)
        .execute(conn)
        .await
        .map(drop))?)
}
