//! What was taken back of an earning.

use common::db::Access;
use common::ids::CustomerId;
use common::on;

/// The reversals of an earning, added up.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Reversals {
    /// How many there are.
    pub times: i64,
    /// Points that they took back.
    pub points: i64,
    /// The latest one.
    pub latest: Option<String>,
}

/// The reversals of an earning.
pub async fn get(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<Reversals, common::Error> {
    const SELECT: &str = "
        WITH reversals AS (
            SELECT p.posting_id, p.revision,
                   (
                       SELECT COALESCE(SUM(e.points), 0)
                       FROM entries e
                       WHERE e.customer_id = p.customer_id
                           AND e.posting_id = p.posting_id
                           AND e.account = 'issuance'
                   ) AS points
            FROM postings p
            WHERE p.customer_id = $1 AND p.reverses = $2
        )
        SELECT COUNT(*) AS times,
               CAST(COALESCE(SUM(points), 0) AS BIGINT) AS points,
               (SELECT posting_id FROM reversals ORDER BY revision DESC LIMIT 1) AS latest
        FROM reversals";
    Ok(on!(db, |conn| sqlx::query_as::<_, Reversals>(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_one(conn)
        .await)?)
}

/// Points of a lot that adjustments took.
pub async fn get_adjusted(
    db: &mut impl Access,
    customer_id: &CustomerId,
    lot_id: &str,
) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(-SUM(e.points), 0) AS BIGINT)
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        WHERE p.customer_id = $1
            AND e.lot_id = $2
            AND e.account = 'member'
            AND e.points < 0
            AND p.kind = 'adjust'";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(customer_id)
        .bind(lot_id)
        .fetch_one(conn)
        .await)?)
}
