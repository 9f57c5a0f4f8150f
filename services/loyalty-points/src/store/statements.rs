//! What statements are read from: postings by when they were written.

use common::db::Access;
use common::on;
use common::time::Timestamp;

use super::accounts::AccountKey;
use super::postings::PostingRow;
use crate::domain::statement::Standing;

/// Postings to one account written in `[from, to)`.
#[derive(Debug, Clone, Copy)]
pub struct Period<'a> {
    /// The member's account.
    pub account: AccountKey<'a>,
    /// Start.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
}

/// What the entries written before the period add up to, and how many postings were written in it.
pub async fn get_opening(
    db: &mut impl Access,
    period: Period<'_>,
) -> Result<(Standing, i64), common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(SUM(e.points), 0) AS BIGINT),
               CAST(COALESCE(SUM(e.points) FILTER (WHERE e.account = 'held'), 0) AS BIGINT),
               CAST(COALESCE(-SUM(e.points) FILTER (WHERE e.account = 'debt'), 0) AS BIGINT)
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        WHERE p.customer_id = $1
            AND p.program_id = $2
            AND p.currency = $3
            AND p.posted_at < $4
            AND e.account IN ('member', 'held', 'debt')";
    const COUNT: &str = "
        SELECT COUNT(*)
        FROM postings
        WHERE customer_id = $1
            AND program_id = $2
            AND currency = $3
            AND posted_at >= $4
            AND posted_at < $5";
    let row = on!(db, |conn| sqlx::query_as::<_, (i64, i64, i64)>(SELECT)
        .bind(period.account.customer_id)
        .bind(period.account.program_id)
        .bind(period.account.wallet)
        .bind(period.from)
        .fetch_one(conn)
        .await)?;
    let count = on!(db, |conn| sqlx::query_scalar::<_, i64>(COUNT)
        .bind(period.account.customer_id)
        .bind(period.account.program_id)
        .bind(period.account.wallet)
        .bind(period.from)
        .bind(period.to)
        .fetch_one(conn)
        .await)?;
    let (points, held, debt) = row;
    Ok((Standing { points, held, debt }, count))
}

/// Points of lots that cannot be spent yet just before an instant, by the entries written before it.
pub async fn get_pending(
    db: &mut impl Access,
    period: Period<'_>,
    before: Timestamp,
) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(SUM(e.points), 0) AS BIGINT)
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        JOIN lots l ON l.customer_id = e.customer_id AND l.lot_id = e.lot_id
        WHERE p.customer_id = $1
            AND p.program_id = $2
            AND p.currency = $3
            AND p.posted_at < $4
            AND e.account = 'member'
            AND (l.activates_at IS NULL OR l.activates_at >= $4)
            AND (l.expires_at IS NULL OR l.expires_at >= $4)";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(period.account.customer_id)
        .bind(period.account.program_id)
        .bind(period.account.wallet)
        .bind(before)
        .fetch_one(conn)
        .await)?)
}

/// Postings after a revision, the first written first.
pub async fn list(
    db: &mut impl Access,
    period: Period<'_>,
    after: i64,
    limit: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
               rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
               decision, actor, approver, currency
        FROM postings
        WHERE customer_id = $1
            AND program_id = $2
            AND currency = $3
            AND posted_at >= $4
            AND posted_at < $5
            AND revision > $6
        ORDER BY revision
        LIMIT $7";
    Ok(on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(period.account.customer_id)
        .bind(period.account.program_id)
        .bind(period.account.wallet)
        .bind(period.from)
        .bind(period.to)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}
