//! Customers as far as points go: one row each, whose lock orders all that changes of them.

use common::db::{Access as _, Sql, Tx, json_list, json_rows};
use common::ids::CustomerId;
use common::{all, on};
use serde::{Deserialize, Serialize};

/// A customer whose row this transaction has locked. Hands out the revisions of the changes it makes.
#[derive(Debug, Clone, sqlx::FromRow, Deserialize)]
pub struct Lock {
    /// The customer.
    pub customer_id: CustomerId,
    /// The revision of the latest change.
    pub revision: i64,
    /// Whether the customer was deleted.
    pub deleted: bool,
}

impl Lock {
    /// The revision for one more change.
    pub fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }
}

/// Locks those of some customers who are known, in the order of their ids. Whatever is read of them afterwards
/// in this transaction stays true until it ends, and the time stands still.
pub async fn lock(tx: &mut Tx, customer_ids: &[&CustomerId]) -> Result<Vec<Lock>, common::Error> {
    let locked = lock_again(tx, customer_ids).await?;
    tx.stand_still();
    Ok(locked)
}

/// The same of customers that this transaction has locked before: the instant stays what it is.
pub async fn lock_again(
    tx: &mut Tx,
    customer_ids: &[&CustomerId],
) -> Result<Vec<Lock>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT customer_id, revision, deleted_at IS NOT NULL AS deleted
            FROM customers
            WHERE customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))
            ORDER BY customer_id
            FOR NO KEY UPDATE",
        // The transaction is the only one that writes.
        sqlite: "
            SELECT json_group_array(
                       json_array(customer_id, revision, json(iif(deleted_at IS NULL, 'false', 'true')))
                       ORDER BY customer_id)
            FROM customers
            WHERE customer_id IN (SELECT value FROM json_each($1))",
    };
    Ok(all!(tx, SELECT, Lock, ids(customer_ids))?)
}

/// Writes the customers' revisions.
pub async fn update_revisions(
    tx: &mut Tx,
    revisions: &[(&CustomerId, i64)],
) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE customers AS c
            SET revision = changed.revision
            FROM json_to_recordset(CAST($1 AS json)) AS changed (customer_id TEXT, revision BIGINT)
            WHERE c.customer_id = changed.customer_id",
        sqlite: "
            UPDATE customers AS c
            SET revision = changed.value ->> 1
            FROM jsonb_each($1) AS changed
            WHERE c.customer_id = changed.value ->> 0",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        revision: i64,
    }
    let rows: Vec<_> = revisions
        .iter()
        .map(|(customer_id, revision)| Row {
            customer_id: customer_id.as_str(),
            revision: *revision,
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    let rows = json_rows(tx.dialect(), &rows);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(rows)
        .execute(conn)
        .await
        .map(drop))?)
}

/// The list of some customers' ids.
pub(super) fn ids(customer_ids: &[&CustomerId]) -> String {
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    json_list(&ids)
}

/// Makes a customer known; false if it is.
pub async fn insert_customer(tx: &mut Tx, customer_id: &CustomerId) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO customers (customer_id, revision)
        VALUES ($1, 0)
        ON CONFLICT (customer_id) DO NOTHING";
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(customer_id)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}
