//! What the feed says: customers, their transactions, and the days these add up to.

use common::db::Tx;
use common::ids::CustomerId;
use common::on;

use crate::domain::day::Day;
use crate::error::Error;

/// A purchase as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Of the customer service.
    pub transaction_id: String,
    /// Who bought.
    pub customer_id: CustomerId,
    /// When.
    pub day: Day,
    /// The total.
    pub spend_micros: i64,
    /// Distinct categories of its lines.
    pub categories: Vec<String>,
    /// Whether it is in the base's currency.
    pub counted: bool,
}

/// Locks the customer's row, made first if there is none, and returns its revision; `None` for a deleted
/// customer.
pub async fn lock_customer(tx: &mut Tx, customer: &CustomerId) -> Result<Option<i64>, Error> {
    // The update changes nothing; it makes RETURNING answer and takes the row's lock.
    const UPSERT: &str = "
        INSERT INTO customers (customer_id, revision, ignored_transactions, deleted)
        VALUES ($1, 0, 0, FALSE)
        ON CONFLICT (customer_id) DO UPDATE SET deleted = customers.deleted
        RETURNING revision, deleted";
    let (revision, deleted): (i64, bool) = on!(tx, |conn| sqlx::query_as(UPSERT)
        .bind(customer)
        .fetch_one(conn)
        .await)?;
    Ok((!deleted).then_some(revision))
}

/// Keeps a purchase; false when it is known already, or known to be voided.
pub async fn insert(tx: &mut Tx, purchase: &Purchase, voided: bool) -> Result<bool, Error> {
    const INSERT: &str = "
        INSERT INTO transactions
            (customer_id, transaction_id, day, spend_micros, categories, counted, voided)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (customer_id, transaction_id) DO NOTHING";
    let categories = common::db::json_list(&purchase.categories);
    let inserted = on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(&purchase.customer_id)
            .bind(&purchase.transaction_id)
            .bind(purchase.day)
            .bind(purchase.spend_micros)
            .bind(categories)
            .bind(purchase.counted)
            .bind(voided)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(inserted == 1)
}

/// Marks a purchase as voided and returns it as it was taken in; `None` when it is unknown or voided already.
pub async fn void(
    tx: &mut Tx,
    customer: &CustomerId,
    transaction_id: &str,
) -> Result<Option<Purchase>, Error> {
    const UPDATE: &str = "
        UPDATE transactions
        SET voided = TRUE
        WHERE customer_id = $1 AND transaction_id = $2 AND NOT voided
        RETURNING day, spend_micros, categories, counted";
    let row: Option<(Day, i64, String, bool)> = on!(tx, |conn| {
        sqlx::query_as(UPDATE)
            .bind(customer)
            .bind(transaction_id)
            .fetch_optional(conn)
            .await
    })?;
    let Some((day, spend_micros, categories, counted)) = row else {
        return Ok(None);
    };
    Ok(Some(Purchase {
        transaction_id: transaction_id.to_owned(),
        customer_id: customer.clone(),
        day,
        spend_micros,
        categories: crate::error::stored_json(&categories)?,
        counted,
    }))
}

/// Which way a purchase goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the days.
    In,
    /// Out of them again.
    Out,
}

impl Direction {
    fn sign(self) -> i64 {
        match self {
            Self::In => 1,
            Self::Out => -1,
        }
    }
}

/// Adds a counted purchase to its day and categories, or takes it out.
pub async fn update_days(tx: &mut Tx, purchase: &Purchase, way: Direction) -> Result<(), Error> {
    const DAY: &str = "
        INSERT INTO customer_days (customer_id, day, orders, spend_micros)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (customer_id, day) DO UPDATE
        SET orders = customer_days.orders + EXCLUDED.orders,
            spend_micros = customer_days.spend_micros + EXCLUDED.spend_micros";
    const CATEGORY: &str = "
        INSERT INTO customer_categories (customer_id, day, category, orders)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (customer_id, day, category) DO UPDATE
        SET orders = customer_categories.orders + EXCLUDED.orders";
    let Purchase {
        customer_id,
        day,
        spend_micros,
        categories,
        ..
    } = purchase;
    on!(tx, |conn| {
        sqlx::query(DAY)
            .bind(customer_id)
            .bind(day)
            .bind(way.sign())
            .bind(way.sign() * spend_micros)
            .execute(conn)
            .await
            .map(drop)
    })?;
    for category in categories {
        on!(tx, |conn| {
            sqlx::query(CATEGORY)
                .bind(customer_id)
                .bind(day)
                .bind(category)
                .bind(way.sign())
                .execute(conn)
                .await
                .map(drop)
        })?;
    }
    Ok(())
}

/// Counts a purchase in another currency, or takes it out of the count.
pub async fn update_ignored(
    tx: &mut Tx,
    customer: &CustomerId,
    way: Direction,
) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE customers
        SET ignored_transactions = ignored_transactions + $2
        WHERE customer_id = $1";
    on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(customer)
            .bind(way.sign())
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Deletes everything about a customer but the mark that they are gone. Returns the stars they had and the
/// revision of losing them.
pub async fn delete_customer(
    tx: &mut Tx,
    customer: &CustomerId,
) -> Result<Option<(i64, i64)>, Error> {
    const DELETES: [&str; 5] = [
        "DELETE FROM transactions WHERE customer_id = $1",
        "DELETE FROM customer_days WHERE customer_id = $1",
        "DELETE FROM customer_categories WHERE customer_id = $1",
        "DELETE FROM rating_history WHERE customer_id = $1",
        "DELETE FROM rfm_scores WHERE customer_id = $1",
    ];
    const RATING: &str = "DELETE FROM ratings WHERE customer_id = $1 RETURNING stars";
    const MARK: &str = "
        UPDATE customers
        SET deleted = TRUE, ignored_transactions = 0, revision = revision + 1
        WHERE customer_id = $1
        RETURNING revision";
    for delete in DELETES {
        on!(tx, |conn| sqlx::query(delete)
            .bind(customer)
            .execute(conn)
            .await
            .map(drop))?;
    }
    let stars: Option<i64> = on!(tx, |conn| sqlx::query_scalar(RATING)
        .bind(customer)
        .fetch_optional(conn)
        .await)?;
    let revision: i64 = on!(tx, |conn| sqlx::query_scalar(MARK)
        .bind(customer)
        .fetch_one(conn)
        .await)?;
    Ok(stars.map(|stars| (stars, revision)))
}
