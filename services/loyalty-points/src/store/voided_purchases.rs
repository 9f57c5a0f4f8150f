//! Purchases that were voided: they never earn, in whatever order their events are applied.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;

/// Notes a void, without effect if it is noted.
pub async fn insert(
    tx: &mut Tx,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO voided_purchases (customer_id, transaction_id)
        VALUES ($1, $2)
        ON CONFLICT (customer_id, transaction_id) DO NOTHING";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(customer_id)
        .bind(transaction_id)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Whether a purchase was voided.
pub async fn exists(
    db: &mut impl Access,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<bool, common::Error> {
    const SELECT: &str = "
        SELECT COUNT(*)
        FROM voided_purchases
        WHERE customer_id = $1 AND transaction_id = $2";
    let voids = on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(customer_id)
        .bind(transaction_id)
        .fetch_one(conn)
        .await)?;
    Ok(voids > 0)
}
