//! Ratings, one for each customer, and the history of their stars.

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::page::PageRequest;
use common::time::Timestamp;

use super::id_list;
use crate::error::{Error, stored_json};

/// A rating as stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RatingRow {
    /// Whose.
    pub customer_id: CustomerId,
    /// Changes of the stars so far; 0 when it is not stored.
    pub revision: i64,
    /// What counts.
    pub stars: i64,
    /// What the score alone says.
    pub raw_stars: i64,
    /// Code of the reason why they differ.
    pub held: i64,
    /// The score.
    pub score_ppm: i64,
    /// JSON list of the indicators' values.
    pub raw_values: String,
    /// The model that rated.
    pub model_id: String,
    /// The reference it was rated against.
    pub reference_id: String,
    /// The moment it holds for.
    pub as_of: Timestamp,
    /// Since when the stars are these.
    pub stars_since: Timestamp,
}

impl RatingRow {
    /// The indicators' values, `None` where missing.
    pub fn raw_values(&self) -> Result<Vec<Option<i64>>, Error> {
        stored_json(&self.raw_values)
    }
}

/// A change of stars as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HistoryRow {
    /// After the change.
    #[sqlx(flatten)]
    pub rating: RatingRow,
    /// Before it.
    pub previous_stars: i64,
    /// When it was made.
    pub changed_at: Timestamp,
}

/// Locks customers for rating and returns their revisions. Customers that another transaction holds are left
/// out: that transaction rates them itself, and nobody who waits in here could close a circle of waiting.
pub async fn lock_free(
    tx: &mut Tx,
    customers: &[CustomerId],
) -> Result<Vec<(CustomerId, i64)>, Error> {
    const LOCK: Sql = Sql {
        postgres: "
        SELECT customer_id, revision
        FROM customers
        WHERE NOT deleted AND customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))
        ORDER BY customer_id
        FOR UPDATE SKIP LOCKED",
        // The writer is alone.
        sqlite: "
        SELECT customer_id, revision
        FROM customers
        WHERE NOT deleted AND customer_id IN (SELECT value FROM json_each($1))
        ORDER BY customer_id",
    };
    let text = LOCK.text(tx.dialect());
    Ok(on!(tx, |conn| {
        sqlx::query_as(text)
            .bind(id_list(customers))
            .fetch_all(conn)
            .await
    })?)
}

/// Locks one customer for rating, waiting for whoever holds it.
pub async fn lock_one(
    tx: &mut Tx,
    customer: &CustomerId,
) -> Result<Option<(CustomerId, i64)>, Error> {
    const LOCK: Sql = Sql {
        postgres: "
        SELECT customer_id, revision
        FROM customers
        WHERE NOT deleted AND customer_id = $1
        FOR UPDATE",
        sqlite: "SELECT customer_id, revision FROM customers WHERE NOT deleted AND customer_id = $1",
    };
    let text = LOCK.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query_as(text)
        .bind(customer)
        .fetch_optional(conn)
        .await)?)
}

/// The stored ratings of customers.
pub async fn list(db: &mut impl Access, customers: &[CustomerId]) -> Result<Vec<RatingRow>, Error> {
    const SELECT: Sql = Sql {
        postgres: "
        SELECT customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since
        FROM ratings
        WHERE customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))
        ORDER BY customer_id",
        sqlite: "
        SELECT customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since
        FROM ratings
        WHERE customer_id IN (SELECT value FROM json_each($1))
        ORDER BY customer_id",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as(text)
        .bind(id_list(customers))
        .fetch_all(conn)
        .await)?)
}

/// The stars that customers had at a moment, from their history: customer, stars, since when.
pub async fn list_at(
    db: &mut impl Access,
    customers: &[CustomerId],
    as_of: Timestamp,
) -> Result<Vec<(CustomerId, i64, Timestamp)>, Error> {
    const SELECT: Sql = Sql {
        postgres: "
        SELECT customer_id, stars, stars_since
        FROM (
            SELECT customer_id, stars, stars_since,
                ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY revision DESC) AS age
            FROM rating_history
            WHERE customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json)))) AND as_of <= $2
        ) AS history
        WHERE age = 1
        ORDER BY customer_id",
        sqlite: "
        SELECT customer_id, stars, stars_since
        FROM (
            SELECT customer_id, stars, stars_since,
                ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY revision DESC) AS age
            FROM rating_history
            WHERE customer_id IN (SELECT value FROM json_each($1)) AND as_of <= $2
        ) AS history
        WHERE age = 1
        ORDER BY customer_id",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| {
        sqlx::query_as(text)
            .bind(id_list(customers))
            .bind(as_of)
            .fetch_all(conn)
            .await
    })?)
}

/// A page of a customer's history, newest first.
pub async fn list_history(
    db: &mut impl Access,
    customer: &CustomerId,
    page: &PageRequest,
) -> Result<Vec<HistoryRow>, Error> {
    const SELECT: &str = "
        SELECT customer_id, revision, previous_stars, stars, raw_stars, held, score_ppm, raw_values,
            model_id, reference_id, as_of, stars_since, changed_at
        FROM rating_history
        WHERE customer_id = $1 AND revision < $2
        ORDER BY revision DESC
        LIMIT $3";
    let before: i64 = page.after().unwrap_or(i64::MAX);
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(customer)
            .bind(before)
            .bind(page.size + 1)
            .fetch_all(conn)
            .await
    })?)
}

/// A page of the customers with a number of stars, highest score first.
pub async fn list_by_star(
    db: &mut impl Access,
    stars: i64,
    page: &PageRequest,
) -> Result<Vec<RatingRow>, Error> {
    const SELECT: &str = "
        SELECT customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since
        FROM ratings
        WHERE stars = $1 AND (score_ppm, customer_id) < ($2, $3)
        ORDER BY score_ppm DESC, customer_id DESC
        LIMIT $4";
    let (score, id): (i64, String) = page.after().unwrap_or((i64::MAX, String::new()));
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(stars)
            .bind(score)
            .bind(&id)
            .bind(page.size + 1)
            .fetch_all(conn)
            .await
    })?)
}
