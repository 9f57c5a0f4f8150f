//! What is stored as used of earning limits, beside what the earnings that they count come to.

use common::db::{Access, Sql};
use common::on;

use super::histories::{self, Range};
use super::limit_usage::UsageKey;

/// A limit in a window.
#[derive(Debug, sqlx::FromRow)]
pub struct Sums {
    /// Which.
    #[sqlx(flatten)]
    pub key: UsageKey,
    /// What is stored as used.
    pub stored: i64,
    /// What the earnings that are counted in it come to, less what was taken back of them.
    pub counted: i64,
}

/// The limits that earnings say they are counted in, which the databases take apart each in its way.
macro_rules! select_sums {
    ($limits:literal, $limit_id:literal, $scope:literal, $window_start:literal) => {
        concat!(
            "
            WITH limited AS (
                SELECT p.customer_id, p.posting_id, p.program_id, ",
            $limit_id,
            " AS limit_id,
                       CASE ",
            $scope,
            " WHEN 'program' THEN '' ELSE p.customer_id END AS counted_for,
                       CAST(",
            $window_start,
            " AS BIGINT) AS window_start
                FROM postings p
                CROSS JOIN ",
            $limits,
            "
                WHERE p.customer_id > $1
                    AND p.customer_id <= $2
                    AND p.kind = 'earn'
                    AND p.decision LIKE '%\"limits\":[{%'
            ), sums AS (
                SELECT program_id, limit_id, customer_id, window_start, used AS stored, 0 AS counted
                FROM limit_usage
                WHERE customer_id > $1 AND customer_id <= $2
                UNION ALL
                SELECT l.program_id, l.limit_id, l.counted_for, l.window_start, 0, -e.points
                FROM limited l
                JOIN entries e ON e.customer_id = l.customer_id AND e.posting_id = l.posting_id
                WHERE e.account = 'issuance'
                UNION ALL
                SELECT l.program_id, l.limit_id, l.counted_for, l.window_start, 0, -e.points
                FROM limited l
                JOIN postings r ON r.customer_id = l.customer_id AND r.reverses = l.posting_id
                JOIN entries e ON e.customer_id = r.customer_id AND e.posting_id = r.posting_id
                WHERE e.account = 'issuance'
            )
            SELECT program_id, limit_id, customer_id, window_start,
                   CAST(SUM(stored) AS BIGINT) AS stored,
                   CAST(SUM(counted) AS BIGINT) AS counted
            FROM sums
            GROUP BY program_id, limit_id, customer_id, window_start
            HAVING customer_id = '' OR SUM(stored) <> SUM(counted)
            ORDER BY program_id, limit_id, customer_id, window_start"
        )
    };
}

/// Of the customers, who are few, the caps whose usage is not what was counted; and what their earnings come to in each
/// budget, of which nothing is stored with them.
pub async fn list(db: &mut impl Access, range: Range<'_>) -> Result<Vec<Sums>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: select_sums!(
            "LATERAL json_array_elements(CAST(p.decision AS json) -> 'limits') AS applied (of_limit)",
            "(of_limit ->> 'limit_id') COLLATE \"C\"",
            "of_limit ->> 'scope'",
            "(of_limit ->> 'window_start')"
        ),
        sqlite: select_sums!(
            "json_each(p.decision, '$.limits') AS applied",
            "applied.value ->> 'limit_id'",
            "applied.value ->> 'scope'",
            "(applied.value ->> 'window_start')"
        ),
    };
    let text = SELECT.text(db.dialect());
    histories::list(db, text, range).await
}

/// A page of what is stored as used of budgets, in the order of their keys, after one of those.
pub async fn list_budgets(
    db: &mut impl Access,
    after: &UsageKey,
    limit: i64,
) -> Result<Vec<(UsageKey, i64)>, common::Error> {
    const SELECT: &str = "
        SELECT program_id, limit_id, customer_id, window_start, used
        FROM limit_usage
        WHERE customer_id = '' AND (program_id, limit_id, window_start) > ($1, $2, $3)
        ORDER BY program_id, limit_id, window_start
        LIMIT $4";
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(flatten)]
        key: UsageKey,
        used: i64,
    }
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(SELECT)
        .bind(&after.program_id)
        .bind(&after.limit_id)
        .bind(after.window_start)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(|row| (row.key, row.used)).collect())
}
