//! What is due by the clock, found by when it is due.

use common::db::Access;
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A lot or a hold that is due.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DueRow {
    /// When it expires.
    pub expires_at: Timestamp,
    /// The member's customer.
    pub customer_id: CustomerId,
    /// Its identifier.
    pub item_id: String,
    /// The program.
    pub program_id: String,
}

/// A page of what is due.
#[derive(Debug, Clone, Copy)]
pub struct DuePage<'a> {
    /// The last of the page before: when it expires, the customer, itself.
    pub after: (Timestamp, &'a str, &'a str),
    /// At most so many.
    pub limit: i64,
}

/// Lots of active members with points left that have expired, the first to expire first.
pub async fn list_lots(
    db: &mut impl Access,
    now: Timestamp,
    page: DuePage<'_>,
) -> Result<Vec<DueRow>, common::Error> {
    const SELECT: &str = "
        SELECT l.expires_at, l.customer_id, l.lot_id AS item_id, l.program_id
        FROM lots l
        JOIN members m ON m.customer_id = l.customer_id AND m.program_id = l.program_id
        WHERE l.remaining > 0
            AND l.expires_at <= $1
            AND (l.expires_at, l.customer_id, l.lot_id) > ($2, $3, $4)
            AND m.state = 'active'
        ORDER BY l.expires_at, l.customer_id, l.lot_id
        LIMIT $5";
    let (expires_at, customer_id, item_id) = page.after;
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(now)
        .bind(expires_at)
        .bind(customer_id)
        .bind(item_id)
        .bind(page.limit)
        .fetch_all(conn)
        .await)?)
}

/// Holds of active members that have timed out without anything having noticed, the first to do so first.
pub async fn list_holds(
    db: &mut impl Access,
    now: Timestamp,
    page: DuePage<'_>,
) -> Result<Vec<DueRow>, common::Error> {
    const SELECT: &str = "
        SELECT h.expires_at, h.customer_id, h.hold_id AS item_id, h.program_id
        FROM holds h
        JOIN members m ON m.customer_id = h.customer_id AND m.program_id = h.program_id
        WHERE h.state = 'authorized'
            AND h.expires_at <= $1
            AND (h.expires_at, h.customer_id, h.hold_id) > ($2, $3, $4)
            AND m.state = 'active'
        ORDER BY h.expires_at, h.customer_id, h.hold_id
        LIMIT $5";
    let (expires_at, customer_id, item_id) = page.after;
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(now)
        .bind(expires_at)
        .bind(customer_id)
        .bind(item_id)
        .bind(page.limit)
        .fetch_all(conn)
        .await)?)
}

/// Which lots are due for a notice.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Of this program.
    pub program_id: &'a str,
    /// The notice.
    pub days: i64,
    /// Expiring after this instant, which is now.
    pub from: Timestamp,
    /// And not after this one, which is so many days later.
    pub to: Timestamp,
}

/// Lots of active members with points left that expire soon and were told neither this notice nor a nearer one.
pub async fn list_unnoticed(
    db: &mut impl Access,
    notice: Notice<'_>,
    page: DuePage<'_>,
) -> Result<Vec<DueRow>, common::Error> {
    const SELECT: &str = "
        SELECT l.expires_at, l.customer_id, l.lot_id AS item_id, l.program_id
        FROM lots l
        JOIN members m ON m.customer_id = l.customer_id AND m.program_id = l.program_id
        WHERE l.remaining > 0
            AND l.expires_at > $1
            AND l.expires_at <= $2
            AND l.program_id = $3
            AND (l.expires_at, l.customer_id, l.lot_id) > ($5, $6, $7)
            AND m.state = 'active'
            AND NOT EXISTS (
                SELECT 1 FROM expiry_notices n
                WHERE n.customer_id = l.customer_id
                    AND n.lot_id = l.lot_id
                    AND n.expires_at = l.expires_at
                    AND n.days <= $4)
        ORDER BY l.expires_at, l.customer_id, l.lot_id
        LIMIT $8";
    let (expires_at, customer_id, item_id) = page.after;
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(notice.from)
        .bind(notice.to)
        .bind(notice.program_id)
        .bind(notice.days)
        .bind(expires_at)
        .bind(customer_id)
        .bind(item_id)
        .bind(page.limit)
        .fetch_all(conn)
        .await)?)
}
