//! All SQL. Reads run on anything that is `Access`, writes on a `Tx`; nothing here decides anything.

pub mod distribution;
pub mod features;
pub mod models;
pub mod purchases;
pub mod rating_writes;
pub mod ratings;
pub mod rfm;

use common::db::{Access, Sql, json_list};
use common::ids::CustomerId;
use common::on;

use crate::error::Error;

/// Customers as one bind parameter.
pub fn id_list(customers: &[CustomerId]) -> String {
    let ids: Vec<&str> = customers.iter().map(CustomerId::as_str).collect();
    json_list(&ids)
}

/// One page of the base in the order of ids.
pub async fn list_customers(
    db: &mut impl Access,
    after: &str,
    limit: i64,
) -> Result<Vec<CustomerId>, Error> {
    const SELECT: &str = "
        SELECT customer_id
        FROM customers
        WHERE NOT deleted AND customer_id > $1
        ORDER BY customer_id
        LIMIT $2";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// Which of these customers the base has.
pub async fn existing_customers(
    db: &mut impl Access,
    customers: &[CustomerId],
) -> Result<Vec<CustomerId>, Error> {
    const SELECT: Sql = Sql {
        postgres: "
        SELECT customer_id
        FROM customers
        WHERE NOT deleted AND customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))
        ORDER BY customer_id",
        sqlite: "
        SELECT customer_id
        FROM customers
        WHERE NOT deleted AND customer_id IN (SELECT value FROM json_each($1))
        ORDER BY customer_id",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| {
        sqlx::query_scalar(text)
            .bind(id_list(customers))
            .fetch_all(conn)
            .await
    })?)
}

/// Customers in the base.
pub async fn count_customers(db: &mut impl Access) -> Result<i64, Error> {
    const SELECT: &str = "SELECT COUNT(*) FROM customers WHERE NOT deleted";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)?)
}

/// Refuses a customer that the base does not have.
pub async fn get_customer(db: &mut impl Access, customer: &CustomerId) -> Result<Customer, Error> {
    const SELECT: &str = "
        SELECT customer_id, ignored_transactions
        FROM customers
        WHERE customer_id = $1 AND NOT deleted";
    let found: Option<Customer> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer)
        .fetch_optional(conn)
        .await)?;
    found.ok_or_else(|| Error::CustomerNotFound(customer.clone()))
}

/// A customer of the base.
#[derive(Debug, sqlx::FromRow)]
pub struct Customer {
    /// Which.
    pub customer_id: CustomerId,
    /// Transactions in another currency than the base's.
    pub ignored_transactions: i64,
}
