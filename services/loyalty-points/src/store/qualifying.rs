//! What counts for tiers, one by one.

use common::db::Access;
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::domain::tiers::{Counted, Metric};

/// Whose, from when on, by which metric.
#[derive(Debug, Clone, Copy)]
pub struct Since<'a> {
    /// The member.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// What is dated after this instant.
    pub after: Timestamp,
    /// What counts.
    pub metric: Metric,
}

/// What of a table counts for one member: from when on, and what of it must be left.
macro_rules! select {
    ($what:literal, ($table:literal, $at:literal, $left:literal), $order:literal) => {
        concat!(
            "
            SELECT ",
            $what,
            "
            FROM ",
            $table,
            "
            WHERE customer_id IN (
                    SELECT $1
                    UNION ALL
                    SELECT customer_id FROM members WHERE program_id = $2 AND survivor = $1)
                AND program_id = $2
                AND ",
            $at,
            " > $3
                AND ",
            $left,
            " > 0
            ",
            $order
        )
    };
}

/// What counts for a member's tier, in the order of time: what is the member's own, and what is of those that it stands
/// for. It reads all that counts since then: for one member's page, and for policies that cannot be added up in the
/// database.
pub async fn list(db: &mut impl Access, since: Since<'_>) -> Result<Vec<Counted>, common::Error> {
    const POINTS: &str = select!(
        "CAST(SUM(qualifying) AS BIGINT), earned_at",
        ("lots", "earned_at", "qualifying"),
        "GROUP BY earned_at ORDER BY earned_at"
    );
    const SPEND: &str = select!(
        "remaining, occurred_at",
        ("purchases", "occurred_at", "remaining"),
        "ORDER BY occurred_at, customer_id, transaction_id"
    );
    const FREQUENCY: &str = select!(
        "COUNT(*), occurred_at",
        ("purchases", "occurred_at", "remaining"),
        "GROUP BY occurred_at ORDER BY occurred_at"
    );
    let select = match since.metric {
        Metric::PointsEarned => POINTS,
        Metric::Spend => SPEND,
        Metric::Frequency => FREQUENCY,
    };
    let rows = on!(db, |conn| sqlx::query_as::<_, (i64, Timestamp)>(select)
        .bind(since.customer_id)
        .bind(since.program_id)
        .bind(since.after)
        .fetch_all(conn)
        .await)?;
    let counted = |(amount, at)| Counted { amount, at };
    Ok(rows.into_iter().map(counted).collect())
}

/// Which members of a program, and from when on.
#[derive(Debug, Clone, Copy)]
pub struct SinceMany<'a> {
    /// The program.
    pub program_id: &'a str,
    /// The first customer.
    pub first: &'a CustomerId,
    /// The last one.
    pub last: &'a CustomerId,
    /// What is dated after this instant.
    pub after: Timestamp,
    /// What counts.
    pub metric: Metric,
}

/// What of a table counts for members who are neighbours, by who stands for each.
macro_rules! select_many {
    ($what:literal, ($table:literal, $at:literal, $left:literal), $order:literal) => {
        concat!(
            "
            SELECT customer_id, ",
            $what,
            "
            FROM (
                SELECT customer_id, ",
            $left,
            ", ",
            $at,
            "
                FROM ",
            $table,
            "
                WHERE program_id = $1
                    AND customer_id BETWEEN $2 AND $3
                    AND ",
            $at,
            " > $4
                    AND ",
            $left,
            " > 0
                UNION ALL
                SELECT m.survivor, o.",
            $left,
            ", o.",
            $at,
            "
                FROM members m
                JOIN ",
            $table,
            " o ON o.customer_id = m.customer_id AND o.program_id = m.program_id
                WHERE m.program_id = $1
                    AND m.survivor BETWEEN $2 AND $3
                    AND o.",
            $at,
            " > $4
                    AND o.",
            $left,
            " > 0
            ) counted
            ",
            $order
        )
    };
}

/// What counts for the tiers of neighbouring customers, by customer and in the order of time.
pub async fn list_many(
    db: &mut impl Access,
    since: SinceMany<'_>,
) -> Result<Vec<(CustomerId, Counted)>, common::Error> {
    const POINTS: &str = select_many!(
        "CAST(SUM(qualifying) AS BIGINT), earned_at",
        ("lots", "earned_at", "qualifying"),
        "GROUP BY customer_id, earned_at ORDER BY customer_id, earned_at"
    );
    const SPEND: &str = select_many!(
        "remaining, occurred_at",
        ("purchases", "occurred_at", "remaining"),
        "ORDER BY customer_id, occurred_at"
    );
    const FREQUENCY: &str = select_many!(
        "COUNT(*), occurred_at",
        ("purchases", "occurred_at", "remaining"),
        "GROUP BY customer_id, occurred_at ORDER BY customer_id, occurred_at"
    );
    type Row = (CustomerId, i64, Timestamp);
    let select = match since.metric {
        Metric::PointsEarned => POINTS,
        Metric::Spend => SPEND,
        Metric::Frequency => FREQUENCY,
    };
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(select)
        .bind(since.program_id)
        .bind(since.first)
        .bind(since.last)
        .bind(since.after)
        .fetch_all(conn)
        .await)?;
    let counted = |(customer_id, amount, at)| (customer_id, Counted { amount, at });
    Ok(rows.into_iter().map(counted).collect())
}
