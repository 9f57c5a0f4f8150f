//! Many members' standings at once.

use common::db::Access;
use common::on;
use common::time::Timestamp;

use super::members::Standing;

/// Which members of a program.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The program.
    pub program_id: &'a str,
    /// Those after this customer.
    pub after: &'a str,
    /// At most so many.
    pub limit: i64,
}

/// Active members with what their tier is decided on, by customer.
pub async fn list_standings(
    db: &mut impl Access,
    batch: Batch<'_>,
    as_of: Timestamp,
) -> Result<Vec<Standing>, common::Error> {
    const SELECT: &str = "
        WITH batch AS (
            SELECT customer_id
            FROM members
            WHERE program_id = $1
                AND customer_id > $2
                AND state = 'active'
            ORDER BY customer_id
            LIMIT $3
        )
        SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.points, m.held, m.debt, m.tier,
               m.tier_since, m.tier_points, m.tier_valid_until, m.tier_policy, m.earned_tier,
               v.version AS policy_version,
               o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
               o.reason AS override_reason, o.created_at AS override_created_at,
               o.expires_at AS override_expires_at,
               CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $4), 0) AS BIGINT) AS qualified,
               MIN(l.earned_at) FILTER (WHERE l.earned_at <= $4) AS oldest,
               MIN(l.earned_at) FILTER (WHERE l.earned_at > $4) AS upcoming
        FROM batch b
        JOIN members m ON m.customer_id = b.customer_id AND m.program_id = $1
        JOIN tier_policies v
            ON v.program_id = m.program_id
            AND v.version = (
                SELECT COALESCE(MAX(p.version), 1)
                FROM tier_policies p
                WHERE p.program_id = m.program_id AND p.effective_at <= $4
            )
        LEFT JOIN lots l
            ON l.customer_id = m.customer_id
            AND l.program_id = m.program_id
            AND l.earned_at > $4 - v.window_micros
            AND l.qualifying > 0
        LEFT JOIN tier_overrides o
            ON o.customer_id = m.customer_id
            AND o.program_id = m.program_id
            AND o.ended_at IS NULL
        GROUP BY m.customer_id, m.program_id, v.version, o.customer_id, o.revision
        ORDER BY m.customer_id";
    Ok(on!(db, |conn| sqlx::query_as::<_, Standing>(SELECT)
        .bind(batch.program_id)
        .bind(batch.after)
        .bind(batch.limit)
        .bind(as_of)
        .fetch_all(conn)
        .await)?)
}
