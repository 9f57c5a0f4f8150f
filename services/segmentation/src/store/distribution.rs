//! Customers and their spend by star.

use common::db::Access;
use common::on;
use common::time::Timestamp;

use super::features::Span;
use crate::error::Error;

/// The customers of one star.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct StarRow {
    /// 1 to 5.
    pub stars: i64,
    /// How many.
    pub customers: i64,
    /// What they spent.
    pub spend_micros: i64,
}

/// Counts the stars as they are; stars without customers are absent.
pub async fn list_now(db: &mut impl Access, span: Span) -> Result<Vec<StarRow>, Error> {
    const SELECT: &str = "
        SELECT rated.stars, COUNT(*) AS customers,
            CAST(COALESCE(SUM(bought.spend_micros), 0) AS BIGINT) AS spend_micros
        FROM ratings AS rated
        LEFT JOIN (
            SELECT customer_id, SUM(spend_micros) AS spend_micros
            FROM customer_days
            WHERE day >= $1 AND day <= $2
            GROUP BY customer_id
        ) AS bought ON bought.customer_id = rated.customer_id
        GROUP BY rated.stars
        ORDER BY rated.stars";
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(span.first)
            .bind(span.last)
            .fetch_all(conn)
            .await
    })?)
}

/// Counts the stars as they were at a moment, from the history.
pub async fn list_at(
    db: &mut impl Access,
    span: Span,
    as_of: Timestamp,
) -> Result<Vec<StarRow>, Error> {
    const SELECT: &str = "
        SELECT rated.stars, COUNT(*) AS customers,
            CAST(COALESCE(SUM(bought.spend_micros), 0) AS BIGINT) AS spend_micros
        FROM (
            SELECT customer_id, stars,
                ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY revision DESC) AS age
            FROM rating_history
            WHERE as_of <= $3
        ) AS rated
        LEFT JOIN (
            SELECT customer_id, SUM(spend_micros) AS spend_micros
            FROM customer_days
            WHERE day >= $1 AND day <= $2
            GROUP BY customer_id
        ) AS bought ON bought.customer_id = rated.customer_id
        WHERE rated.age = 1
        GROUP BY rated.stars
        ORDER BY rated.stars";
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(span.first)
            .bind(span.last)
            .bind(as_of)
            .fetch_all(conn)
            .await
    })?)
}
