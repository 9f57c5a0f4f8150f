//! The customers known from the customer service's feed.

use common::db::Tx;
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::error::Error;

/// A customer whose row this transaction holds.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Held {
    /// How often the customer changed here, this change included.
    pub revision: i64,
    /// When the customer service deleted it.
    pub deleted_at: Option<Timestamp>,
}

/// Locks a customer for this transaction and counts one more change; `None` for one never heard of.
///
/// Comes first in every transaction that changes something of a customer: what is read after it
/// stays true, and events of one customer leave in the order of their revisions.
pub async fn advance(tx: &mut Tx, customer: &CustomerId) -> Result<Option<Held>, Error> {
    const ADVANCE: &str = "
        UPDATE customer
        SET revision = revision + 1
        WHERE customer_id = $1
        RETURNING revision, deleted_at";
    Ok(on!(tx, |conn| sqlx::query_as::<_, Held>(ADVANCE)
        .bind(customer)
        .fetch_optional(conn)
        .await)?)
}

/// As [`advance`], refusing customers that are unknown or deleted.
pub async fn advance_living(tx: &mut Tx, customer: &CustomerId) -> Result<i64, Error> {
    match advance(tx, customer).await? {
        Some(Held {
            revision,
            deleted_at: None,
        }) => Ok(revision),
        Some(_) | None => Err(Error::CustomerNotFound(customer.clone())),
    }
}

/// Notes a customer's existence.
pub async fn insert(tx: &mut Tx, customer: &CustomerId, now: Timestamp) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO customer (customer_id, revision, known_at, deleted_at)
        VALUES ($1, 0, $2, NULL)
        ON CONFLICT (customer_id) DO NOTHING";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(customer)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Notes that a customer is gone. The id is never used again.
pub async fn mark_deleted(tx: &mut Tx, customer: &CustomerId, now: Timestamp) -> Result<(), Error> {
    const MARK: &str = "
        INSERT INTO customer (customer_id, revision, known_at, deleted_at)
        VALUES ($1, 0, $2, $2)
        ON CONFLICT (customer_id) DO UPDATE SET deleted_at = excluded.deleted_at";
    on!(tx, |conn| sqlx::query(MARK)
        .bind(customer)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}
