//! What is stored of members and lots, beside what their entries add up to.

use common::db::Access;
use common::on;

use super::seals::PostingKey;
use crate::domain::currency::Wallet;

/// A member's account as stored, and by the entries.
#[derive(Debug, sqlx::FromRow)]
pub struct MemberSums {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The currency.
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
    /// Points stored.
    pub points: i64,
    /// Held points stored.
    pub held: i64,
    /// Debt stored.
    pub debt: i64,
    /// Points by the entries.
    pub points_posted: i64,
    /// Held points by the entries.
    pub held_posted: i64,
    /// Debt by the entries.
    pub debt_posted: i64,
    /// Whether another member stands for it.
    pub merged: bool,
}

impl MemberSums {
    /// Customer and program.
    pub fn member(&self) -> (&str, &str) {
        (&self.customer_id, &self.program_id)
    }
}

/// A lot as stored, and by the entries; zeroes where there is no such lot.
#[derive(Debug, sqlx::FromRow)]
pub struct LotSums {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The currency stored.
    #[sqlx(rename = "currency")]
    pub wallet: Option<Wallet>,
    /// The lot.
    pub lot_id: String,
    /// Points it began with.
    pub original: i64,
    /// Points left.
    pub remaining: i64,
    /// Held points.
    pub held: i64,
    /// Points it began with, by the entries.
    pub original_posted: i64,
    /// Points left by the entries.
    pub remaining_posted: i64,
    /// Held points by the entries.
    pub held_posted: i64,
}

/// A page of members.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a> {
    /// After this customer and program.
    pub after: (&'a str, &'a str),
    /// At most.
    pub limit: i64,
}

/// A page of members with what the entries in each currency add up to, all of one instant. Those whose entries and
/// accounts are all missing have one row nevertheless, so that the page tells how far it goes.
pub async fn list_members(
    db: &mut impl Access,
    page: Members<'_>,
) -> Result<Vec<MemberSums>, common::Error> {
    const SELECT: &str = "
        WITH page AS (
            SELECT customer_id, program_id, survivor
            FROM members
            WHERE (customer_id, program_id) > ($1, $2)
            ORDER BY customer_id, program_id
            LIMIT $3
        ), sides AS (
            SELECT a.customer_id, a.program_id, a.currency, a.points, a.held, a.debt,
                   0 AS points_posted, 0 AS held_posted, 0 AS debt_posted
            FROM page
            JOIN accounts a
                ON a.customer_id = page.customer_id AND a.program_id = page.program_id
            UNION ALL
            SELECT e.customer_id, e.program_id, p.currency, 0, 0, 0,
                   SUM(e.points) FILTER (WHERE e.account = 'member'),
                   SUM(e.points) FILTER (WHERE e.account = 'held'),
                   -SUM(e.points) FILTER (WHERE e.account = 'debt')
            FROM page
            JOIN postings p ON p.customer_id = page.customer_id
            JOIN entries e
                ON e.customer_id = p.customer_id
                AND e.posting_id = p.posting_id
                AND e.program_id = page.program_id
            GROUP BY e.customer_id, e.program_id, p.currency
        )
        SELECT page.customer_id, page.program_id, COALESCE(s.currency, '') AS currency,
               CAST(COALESCE(SUM(s.points), 0) AS BIGINT) AS points,
               CAST(COALESCE(SUM(s.held), 0) AS BIGINT) AS held,
               CAST(COALESCE(SUM(s.debt), 0) AS BIGINT) AS debt,
               CAST(COALESCE(SUM(s.points_posted), 0) AS BIGINT) AS points_posted,
               CAST(COALESCE(SUM(s.held_posted), 0) AS BIGINT) AS held_posted,
               CAST(COALESCE(SUM(s.debt_posted), 0) AS BIGINT) AS debt_posted,
               page.survivor IS NOT NULL AS merged
        FROM page
        LEFT JOIN sides s
            ON s.customer_id = page.customer_id AND s.program_id = page.program_id
        GROUP BY page.customer_id, page.program_id, page.survivor, COALESCE(s.currency, '')
        ORDER BY page.customer_id, page.program_id, COALESCE(s.currency, '')";
    let (customer_id, program_id) = page.after;
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(page.limit)
        .fetch_all(conn)
        .await)?)
}

/// The first lot of a page of members that is not what its entries add up to.
pub async fn find_lot_astray(
    db: &mut impl Access,
    page: Members<'_>,
) -> Result<Option<LotSums>, common::Error> {
    // No line but the one that makes a lot gives it more than it began with. Both sides are put together by grouping:
    // SQLite compares each row of a full join with each.
    const SELECT: &str = "
        WITH page AS (
            SELECT customer_id, program_id
            FROM members
            WHERE (customer_id, program_id) > ($1, $2)
            ORDER BY customer_id, program_id
            LIMIT $3
        ), sides AS (
            SELECT l.customer_id, l.program_id, l.lot_id, l.currency,
                   l.original, l.remaining, l.held,
                   0 AS original_posted, 0 AS remaining_posted, 0 AS held_posted
            FROM page
            JOIN lots l ON l.customer_id = page.customer_id AND l.program_id = page.program_id
            UNION ALL
            SELECT e.customer_id, e.program_id, e.lot_id, NULL,
                   0, 0, 0,
                   MAX(e.points) FILTER (WHERE e.account = 'member'),
                   SUM(e.points) FILTER (WHERE e.account = 'member'),
                   SUM(e.points) FILTER (WHERE e.account = 'held')
            FROM page
            JOIN postings p ON p.customer_id = page.customer_id
            JOIN entries e
                ON e.customer_id = p.customer_id
                AND e.posting_id = p.posting_id
                AND e.program_id = page.program_id
            WHERE e.lot_id IS NOT NULL
            GROUP BY e.customer_id, e.program_id, e.lot_id
        ), lots_of_both AS (
            SELECT customer_id, program_id, MAX(currency) AS currency, lot_id,
                   CAST(COALESCE(SUM(original), 0) AS BIGINT) AS original,
                   CAST(COALESCE(SUM(remaining), 0) AS BIGINT) AS remaining,
                   CAST(COALESCE(SUM(held), 0) AS BIGINT) AS held,
                   CAST(COALESCE(SUM(original_posted), 0) AS BIGINT) AS original_posted,
                   CAST(COALESCE(SUM(remaining_posted), 0) AS BIGINT) AS remaining_posted,
                   CAST(COALESCE(SUM(held_posted), 0) AS BIGINT) AS held_posted
            FROM sides
            GROUP BY customer_id, program_id, lot_id
        )
        SELECT customer_id, program_id, currency, lot_id, original, remaining, held,
               original_posted, remaining_posted, held_posted
        FROM lots_of_both
        WHERE (original, remaining, held) <> (original_posted, remaining_posted, held_posted)
        ORDER BY customer_id, program_id, lot_id
        LIMIT 1";
    let (customer_id, program_id) = page.after;
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(page.limit)
        .fetch_optional(conn)
        .await)?)
}

/// A line that is of no posting.
#[derive(Debug, sqlx::FromRow)]
pub struct StrayLine {
    /// The posting that there is not.
    #[sqlx(flatten)]
    pub posting: PostingKey,
    /// The program.
    pub program_id: String,
    /// The lot.
    pub lot_id: Option<String>,
}

/// The first line that is of no posting: members are replayed by their postings, which would not come upon it.
pub async fn find_stray_line(db: &mut impl Access) -> Result<Option<StrayLine>, common::Error> {
    const SELECT: &str = "
        SELECT e.customer_id, e.posting_id, e.program_id, e.lot_id
        FROM entries e
        WHERE NOT EXISTS (
            SELECT 1 FROM postings p
            WHERE p.customer_id = e.customer_id AND p.posting_id = e.posting_id)
        ORDER BY e.posting_id, e.customer_id, e.line
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_optional(conn)
        .await)?)
}

/// The first posting of a block that is of a member that there is not.
pub async fn find_memberless(
    db: &mut impl Access,
    block: i64,
) -> Result<Option<PostingKey>, common::Error> {
    const SELECT: &str = "
        SELECT p.customer_id, p.posting_id
        FROM seals s
        JOIN postings p ON p.customer_id = s.customer_id AND p.posting_id = s.posting_id
        WHERE s.block = $1
            AND NOT EXISTS (
                SELECT 1 FROM members m
                WHERE m.customer_id = p.customer_id AND m.program_id = p.program_id)
        ORDER BY s.sequence
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(block)
        .fetch_optional(conn)
        .await)?)
}

/// The first posting that is not sealed although a later one of its customer is.
pub async fn find_unsealed(db: &mut impl Access) -> Result<Option<PostingKey>, common::Error> {
    const SELECT: &str = "
        SELECT p.customer_id, p.posting_id
        FROM postings p
        WHERE NOT EXISTS (
                SELECT 1 FROM seals s
                WHERE s.customer_id = p.customer_id AND s.posting_id = p.posting_id)
            AND EXISTS (
                SELECT 1
                FROM postings later
                JOIN seals s
                    ON s.customer_id = later.customer_id AND s.posting_id = later.posting_id
                WHERE later.customer_id = p.customer_id AND later.revision > p.revision)
        ORDER BY p.customer_id, p.revision
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_optional(conn)
        .await)?)
}

/// How many postings are not sealed.
pub async fn count_unsealed(db: &mut impl Access) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT COUNT(*)
        FROM postings p
        WHERE NOT EXISTS (
            SELECT 1 FROM seals s
            WHERE s.customer_id = p.customer_id AND s.posting_id = p.posting_id)";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)?)
}
