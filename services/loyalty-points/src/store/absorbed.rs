//! What members who were merged count for those who stand for them.

use common::db::Access;
use common::on;
use common::time::Timestamp;

use super::members::Standing;
use crate::domain::tiers::Qualification;

/// Adds to what counts for members' tiers what those that they stand for have earned.
pub async fn count(
    db: &mut impl Access,
    standings: &mut [Standing],
    as_of: Timestamp,
) -> Result<(), common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $4), 0) AS BIGINT),
               MIN(l.earned_at) FILTER (WHERE l.earned_at <= $4),
               MIN(l.earned_at) FILTER (WHERE l.earned_at > $4)
        FROM members m
        JOIN tier_policies v ON v.program_id = m.program_id AND v.version = $3
        JOIN lots l
            ON l.customer_id = m.customer_id
            AND l.program_id = m.program_id
            AND l.earned_at > $4 - v.window_micros
            AND l.qualifying > 0
        WHERE m.program_id = $1 AND m.survivor = $2";
    type Row = (i64, Option<Timestamp>, Option<Timestamp>);
    for standing in standings.iter_mut().filter(|standing| standing.absorbs) {
        let member = &standing.member;
        let (points, oldest, upcoming) = on!(db, |conn| sqlx::query_as::<_, Row>(SELECT)
            .bind(&member.program_id)
            .bind(&member.customer_id)
            .bind(standing.policy_version)
            .bind(as_of)
            .fetch_one(conn)
            .await)?;
        let own = standing.qualification();
        let earliest = |a: Option<Timestamp>, b: Option<Timestamp>| a.into_iter().chain(b).min();
        standing.qualifies_by(Qualification {
            points: own.points + points,
            oldest: earliest(own.oldest, oldest),
            upcoming: earliest(own.upcoming, upcoming),
        });
    }
    Ok(())
}
