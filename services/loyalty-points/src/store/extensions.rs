//! Extensions of lots' expiry: append-only.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// An extension as stored.
#[derive(Debug, Clone)]
pub struct ExtensionRow {
    /// The member's customer.
    pub customer_id: CustomerId,
    /// The customer's revision with it.
    pub revision: i64,
    /// The program.
    pub program_id: String,
    /// The lot.
    pub lot_id: String,
    /// When it would have expired.
    pub from: Timestamp,
    /// When it expires now.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
    /// When it was extended.
    pub extended_at: Timestamp,
    /// Who extended it; absent where that was not recorded.
    pub actor: Option<String>,
}

/// Appends an extension and moves the lot's expiry.
pub async fn insert(tx: &mut Tx, row: &ExtensionRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO expiry_extensions
            (customer_id, revision, program_id, lot_id, from_expires_at, to_expires_at, reason, extended_at,
             actor)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    const UPDATE: &str = "UPDATE lots SET expires_at = $3 WHERE customer_id = $1 AND lot_id = $2";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&row.customer_id)
        .bind(row.revision)
        .bind(&row.program_id)
        .bind(&row.lot_id)
        .bind(row.from)
        .bind(row.to)
        .bind(&row.reason)
        .bind(row.extended_at)
        .bind(&row.actor)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&row.customer_id)
        .bind(&row.lot_id)
        .bind(row.to)
        .execute(conn)
        .await
        .map(drop))?)
}

/// The lots of a customer that were extended after a revision, with when they would have expired, in that order.
pub async fn list_after(
    db: &mut impl Access,
    customer_id: &CustomerId,
    revision: i64,
) -> Result<Vec<(String, Timestamp)>, common::Error> {
    const SELECT: &str = "
        SELECT lot_id, from_expires_at
        FROM expiry_extensions
        WHERE customer_id = $1 AND revision > $2
        ORDER BY revision";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(revision)
        .fetch_all(conn)
        .await)?)
}
