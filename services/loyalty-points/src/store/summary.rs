//! Adding up a program. Reads all of its lots, for the past all of its entries; meant for reports, not for hot
//! paths.

use chrono::TimeDelta;
use common::db::Access;
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::domain::currency::Wallet;

/// One currency of a program.
#[derive(Debug, Clone, Copy)]
pub struct CurrencyOf<'a> {
    /// The program.
    pub program_id: &'a str,
    /// The currency.
    pub wallet: &'a Wallet,
}

/// What a program's active members hold in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Held {
    /// Spendable points.
    pub outstanding: i64,
    /// Points spendable later.
    pub pending: i64,
    /// Points held.
    pub on_hold: i64,
}

/// Points in lots now, from the lots as they are: several times faster than from their entries. Holds that have
/// timed out have let go, but repaid no debt yet: see [`list_unsettled`].
pub async fn get_held(
    db: &mut impl Access,
    of: CurrencyOf<'_>,
    now: Timestamp,
) -> Result<Held, common::Error> {
    const SELECT: &str = "
        WITH timed_out AS (
            SELECT p.customer_id, p.lot_id, SUM(p.held) AS points
            FROM holds h
            JOIN hold_lots p ON p.customer_id = h.customer_id AND p.hold_id = h.hold_id
            WHERE h.program_id = $1
                AND h.currency = $3
                AND h.state = 'authorized'
                AND h.expires_at <= $2
            GROUP BY p.customer_id, p.lot_id
        ), lot_points AS (
            SELECT l.activates_at, l.held - COALESCE(t.points, 0) AS held,
                   CASE WHEN l.expires_at IS NULL OR l.expires_at > $2
                        THEN l.remaining + COALESCE(t.points, 0) END AS points
            FROM lots l
            JOIN members m ON m.customer_id = l.customer_id AND m.program_id = l.program_id
            LEFT JOIN timed_out t ON t.customer_id = l.customer_id AND t.lot_id = l.lot_id
            WHERE l.program_id = $1
                AND l.currency = $3
                AND (l.remaining > 0 OR l.held > 0)
                AND m.state = 'active'
        )
        SELECT CAST(COALESCE(SUM(points) FILTER (WHERE activates_at <= $2), 0) AS BIGINT) AS outstanding,
               CAST(COALESCE(SUM(points) FILTER (WHERE activates_at IS NULL OR activates_at > $2), 0) AS BIGINT)
                   AS pending,
               CAST(COALESCE(SUM(held), 0) AS BIGINT) AS on_hold
        FROM lot_points";
    Ok(on!(db, |conn| sqlx::query_as::<_, Held>(SELECT)
        .bind(of.program_id)
        .bind(now)
        .bind(of.wallet)
        .fetch_one(conn)
        .await)?)
}

/// Points in lots at an instant, from the entries effective by then. Holds that have timed out by then have
/// let go, but repaid no debt yet: see [`list_unsettled_at`].
pub async fn get_held_at(
    db: &mut impl Access,
    of: CurrencyOf<'_>,
    as_of: Timestamp,
) -> Result<Held, common::Error> {
    const SELECT: &str = "
        WITH lot_points AS (
            SELECT l.activates_at, l.expires_at,
                   SUM(e.points) FILTER (WHERE e.account = 'member' OR h.expires_at <= $2) AS points,
                   SUM(e.points) FILTER (WHERE h.expires_at > $2) AS held
            FROM entries e
            JOIN lots l ON l.customer_id = e.customer_id AND l.lot_id = e.lot_id
            JOIN members m ON m.customer_id = e.customer_id AND m.program_id = e.program_id
            LEFT JOIN holds h ON h.customer_id = e.customer_id AND h.hold_id = e.hold_id
            WHERE e.program_id = $1
                AND l.currency = $3
                AND e.effective_at <= $2
                AND m.state = 'active'
            GROUP BY l.customer_id, l.lot_id
        ), spendable AS (
            SELECT activates_at, held,
                   CASE WHEN expires_at IS NULL OR expires_at > $2 THEN points END AS points
            FROM lot_points
        )
        SELECT CAST(COALESCE(SUM(points) FILTER (WHERE activates_at <= $2), 0) AS BIGINT) AS outstanding,
               CAST(COALESCE(SUM(points) FILTER (WHERE activates_at IS NULL OR activates_at > $2), 0) AS BIGINT)
                   AS pending,
               CAST(COALESCE(SUM(held), 0) AS BIGINT) AS on_hold
        FROM spendable";
    Ok(on!(db, |conn| sqlx::query_as::<_, Held>(SELECT)
        .bind(of.program_id)
        .bind(as_of)
        .bind(of.wallet)
        .fetch_one(conn)
        .await)?)
}

/// Points owed now.
pub async fn get_debt(db: &mut impl Access, of: CurrencyOf<'_>) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(SUM(a.debt), 0) AS BIGINT)
        FROM members m
        JOIN accounts a ON a.customer_id = m.customer_id AND a.program_id = m.program_id
        WHERE m.program_id = $1 AND m.state = 'active' AND a.currency = $2";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(of.program_id)
        .bind(of.wallet)
        .fetch_one(conn)
        .await)?)
}

/// Points owed at an instant.
pub async fn get_debt_at(
    db: &mut impl Access,
    of: CurrencyOf<'_>,
    as_of: Timestamp,
) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(-SUM(e.points), 0) AS BIGINT)
        FROM entries e
        JOIN members m ON m.customer_id = e.customer_id AND m.program_id = e.program_id
        JOIN postings p ON p.customer_id = e.customer_id AND p.posting_id = e.posting_id
        WHERE e.program_id = $1
            AND p.currency = $3
            AND e.account = 'debt'
            AND e.effective_at <= $2
            AND m.state = 'active'";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(of.program_id)
        .bind(as_of)
        .bind(of.wallet)
        .fetch_one(conn)
        .await)?)
}

/// Active members who owe points, and have a hold that has timed out without anything having noticed.
pub async fn list_unsettled(
    db: &mut impl Access,
    of: CurrencyOf<'_>,
    now: Timestamp,
) -> Result<Vec<CustomerId>, common::Error> {
    const SELECT: &str = "
        SELECT DISTINCT h.customer_id
        FROM holds h
        JOIN members m ON m.customer_id = h.customer_id AND m.program_id = h.program_id
        JOIN accounts a
            ON a.customer_id = h.customer_id
            AND a.program_id = h.program_id
            AND a.currency = h.currency
        WHERE h.program_id = $1
            AND h.currency = $3
            AND h.state = 'authorized'
            AND h.expires_at <= $2
            AND m.state = 'active'
            AND a.debt > 0
        ORDER BY h.customer_id";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, CustomerId>(SELECT)
        .bind(of.program_id)
        .bind(now)
        .bind(of.wallet)
        .fetch_all(conn)
        .await)?)
}

/// Active members who owed points at an instant by which a hold had timed out without anything having noticed
/// until now.
pub async fn list_unsettled_at(
    db: &mut impl Access,
    of: CurrencyOf<'_>,
    as_of: Timestamp,
) -> Result<Vec<CustomerId>, common::Error> {
    const SELECT: &str = "
        SELECT h.customer_id
        FROM entries e
        JOIN holds h ON h.customer_id = e.customer_id AND h.hold_id = e.hold_id
        JOIN members m ON m.customer_id = h.customer_id AND m.program_id = h.program_id
        WHERE e.program_id = $1
            AND h.currency = $3
            AND e.effective_at <= $2
            AND h.expires_at <= $2
            AND m.state = 'active'
        GROUP BY h.customer_id
        HAVING SUM(e.points) > 0
            AND (
                SELECT COALESCE(SUM(d.points), 0)
                FROM postings p
                JOIN entries d ON d.customer_id = p.customer_id AND d.posting_id = p.posting_id
                WHERE p.customer_id = h.customer_id
                    AND d.program_id = $1
                    AND p.currency = $3
                    AND d.account = 'debt'
                    AND d.effective_at <= $2
            ) < 0
        ORDER BY h.customer_id";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, CustomerId>(SELECT)
        .bind(of.program_id)
        .bind(as_of)
        .bind(of.wallet)
        .fetch_all(conn)
        .await)?)
}

/// How many active members have a tier.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TierCount {
    /// The tier.
    pub name: String,
    /// Its rank.
    pub rank: i64,
    /// How many.
    pub members: i64,
}

/// The version of a policy by which members are counted, and its window.
#[derive(Debug, Clone, Copy)]
pub struct CountedBy<'a> {
    /// The program.
    pub program_id: &'a str,
    /// The version.
    pub version: i64,
    /// The days over which its points add up.
    pub window: TimeDelta,
}

/// Members by the tier they have at an instant, given or earned by the sum of points in a window; every tier, lowest
/// first. Merged members count with who stands for them now.
pub async fn list_tier_counts(
    db: &mut impl Access,
    by: CountedBy<'_>,
    as_of: Timestamp,
) -> Result<Vec<TierCount>, common::Error> {
    const SELECT: &str = "
        WITH bands AS (
            SELECT name, rank, threshold, LEAD(threshold) OVER (ORDER BY rank) AS below
            FROM policy_tiers
            WHERE program_id = $1 AND version = $3
        ), sums AS (
            SELECT COALESCE(m.survivor, m.customer_id) AS customer_id, COALESCE(SUM(l.qualifying), 0) AS points
            FROM members m
            LEFT JOIN lots l
                ON l.customer_id = m.customer_id
                AND l.program_id = m.program_id
                AND l.earned_at > $4
                AND l.earned_at <= $2
            WHERE m.program_id = $1 AND m.state = 'active'
            GROUP BY COALESCE(m.survivor, m.customer_id)
        ), earned AS (
            SELECT s.customer_id, s.points, (
                SELECT o.tier
                FROM tier_overrides o
                JOIN bands t ON t.name = o.tier
                WHERE o.customer_id = s.customer_id
                    AND o.program_id = $1
                    AND o.created_at <= $2
                    AND (COALESCE(o.ended_at, o.expires_at) IS NULL
                        OR COALESCE(o.ended_at, o.expires_at) > $2)
                ORDER BY o.created_at DESC, o.revision DESC
                LIMIT 1
            ) AS given
            FROM sums s
        )
        SELECT b.name, b.rank, COUNT(e.customer_id) AS members
        FROM bands b
        LEFT JOIN earned e
            ON CASE WHEN e.given IS NULL
                    THEN e.points >= b.threshold AND (b.below IS NULL OR e.points < b.below)
                    ELSE e.given = b.name END
        GROUP BY b.name, b.rank
        ORDER BY b.rank";
    Ok(on!(db, |conn| sqlx::query_as::<_, TierCount>(SELECT)
        .bind(by.program_id)
        .bind(as_of)
        .bind(by.version)
        .bind(as_of - by.window)
        .fetch_all(conn)
        .await)?)
}
