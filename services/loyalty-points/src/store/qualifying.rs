//! What counts for tiers, lot by lot.

use common::db::Access;
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::domain::progress::Earning;

/// Whose points count from when on.
pub struct Since<'a> {
    /// The member.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// Those earned after this instant.
    pub after: Timestamp,
}

/// A member's points that count for the tier, by the instant they were earned. For one member's page, not for
/// hot paths: it reads all lots in the window.
pub async fn list(db: &mut impl Access, since: Since<'_>) -> Result<Vec<Earning>, common::Error> {
    const SELECT: &str = "
        SELECT CAST(SUM(qualifying) AS BIGINT), earned_at
        FROM lots
        WHERE customer_id = $1
            AND program_id = $2
            AND earned_at > $3
            AND qualifying > 0
        GROUP BY earned_at
        ORDER BY earned_at";
    let rows = on!(db, |conn| sqlx::query_as::<_, (i64, Timestamp)>(SELECT)
        .bind(since.customer_id)
        .bind(since.program_id)
        .bind(since.after)
        .fetch_all(conn)
        .await)?;
    let earning = |(points, earned_at)| Earning { points, earned_at };
    Ok(rows.into_iter().map(earning).collect())
}
