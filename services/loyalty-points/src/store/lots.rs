//! Lots.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::domain::lots::Lot;

#[derive(sqlx::FromRow)]
pub(super) struct LotRow {
    lot_id: String,
    original: i64,
    remaining: i64,
    held: i64,
    consumed: i64,
    expired: i64,
    reversed: i64,
    qualifying: i64,
    earned_at: Timestamp,
    activates_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
}

impl From<LotRow> for Lot {
    fn from(row: LotRow) -> Self {
        Self {
            lot_id: row.lot_id,
            original: row.original,
            remaining: row.remaining,
            held: row.held,
            consumed: row.consumed,
            expired: row.expired,
            reversed: row.reversed,
            qualifying: row.qualifying,
            earned_at: row.earned_at,
            activates_at: row.activates_at,
            expires_at: row.expires_at,
            cancelled_at: row.cancelled_at,
        }
    }
}

/// A lot and the posting that made it.
#[derive(sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    lot: LotRow,
    posting_id: String,
}

/// A member's lots that have points left or held, and the one that a posting made if it is named. Unlimited, as
/// a decision needs all of them.
pub async fn list_open(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    and_of_posting: &str,
) -> Result<Vec<Lot>, common::Error> {
    const SELECT: &str = "
        SELECT lot_id, original, remaining, held, consumed, expired, reversed, qualifying,
               earned_at, activates_at, expires_at, cancelled_at
        FROM lots
        WHERE customer_id = $1
            AND program_id = $2
            AND (remaining > 0 OR held > 0 OR posting_id = $3)
        ORDER BY lot_id";
    let rows = on!(db, |conn| sqlx::query_as::<_, LotRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(and_of_posting)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Lot::from).collect())
}

/// Id of the lot that an earning made.
pub async fn get_id_of_posting(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<String, common::Error> {
    const SELECT: &str = "SELECT lot_id FROM lots WHERE customer_id = $1 AND posting_id = $2";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, String>(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_one(conn)
        .await)?)
}

/// A member's lots as the entries effective by an instant tell them; only identity, times,
/// `remaining` and `held` are told.
pub async fn list_open_at(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    as_of: Timestamp,
) -> Result<Vec<Lot>, common::Error> {
    const SELECT: &str = "
        SELECT l.lot_id, l.original,
               CAST(COALESCE(SUM(e.points) FILTER (WHERE e.account = 'member'), 0) AS BIGINT) AS remaining,
               CAST(COALESCE(SUM(e.points) FILTER (WHERE e.account = 'held'), 0) AS BIGINT) AS held,
               CAST(0 AS BIGINT) AS consumed, CAST(0 AS BIGINT) AS expired,
               CAST(0 AS BIGINT) AS reversed, l.qualifying, l.earned_at, l.activates_at, l.expires_at,
               l.cancelled_at
        FROM entries e
        JOIN lots l ON l.customer_id = e.customer_id AND l.lot_id = e.lot_id
        WHERE e.customer_id = $1
            AND e.program_id = $2
            AND e.effective_at <= $3
        GROUP BY l.customer_id, l.lot_id
        HAVING SUM(e.points) > 0
        ORDER BY l.lot_id";
    let rows = on!(db, |conn| sqlx::query_as::<_, LotRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(as_of)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Lot::from).collect())
}

/// Where a page of lots begins: the spending order of the last lot before it.
pub type SpendingKey = (i64, i64, String);

/// A member's lots in the order of spending, each with the posting that made it.
pub async fn list(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    after: &SpendingKey,
    limit: i64,
) -> Result<Vec<(Lot, String)>, common::Error> {
    const SELECT: &str = "
        SELECT lot_id, original, remaining, held, consumed, expired, reversed, qualifying,
               earned_at, activates_at, expires_at, cancelled_at, posting_id
        FROM lots
        WHERE customer_id = $1
            AND program_id = $2
            AND (COALESCE(expires_at, $7), earned_at, lot_id) > ($3, $4, $5)
        ORDER BY COALESCE(expires_at, $7), earned_at, lot_id
        LIMIT $6";
    let (expires_at, earned_at, lot_id) = after;
    let rows = on!(db, |conn| sqlx::query_as::<_, ListedRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(expires_at)
        .bind(earned_at)
        .bind(lot_id)
        .bind(limit)
        .bind(Timestamp::MAX)
        .fetch_all(conn)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.lot.into(), row.posting_id))
        .collect())
}

/// What a lot belongs to.
pub struct NewLot<'a> {
    /// The member's customer.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// The posting that makes it.
    pub posting_id: &'a str,
    /// The lot.
    pub lot: &'a Lot,
}

/// Writes a new lot.
pub async fn insert(tx: &mut Tx, new: NewLot<'_>) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO lots
            (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
             reversed, qualifying, earned_at, activates_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let lot = new.lot;
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(new.customer_id)
        .bind(&lot.lot_id)
        .bind(new.program_id)
        .bind(new.posting_id)
        .bind(lot.original)
        .bind(lot.remaining)
        .bind(lot.held)
        .bind(lot.consumed)
        .bind(lot.expired)
        .bind(lot.reversed)
        .bind(lot.qualifying)
        .bind(lot.earned_at)
        .bind(lot.activates_at)
        .bind(lot.expires_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes the amounts of a lot.
pub async fn update(tx: &mut Tx, customer_id: &CustomerId, lot: &Lot) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE lots
        SET remaining = $3, held = $4, consumed = $5, expired = $6, reversed = $7, qualifying = $8
        WHERE customer_id = $1 AND lot_id = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(customer_id)
        .bind(&lot.lot_id)
        .bind(lot.remaining)
        .bind(lot.held)
        .bind(lot.consumed)
        .bind(lot.expired)
        .bind(lot.reversed)
        .bind(lot.qualifying)
        .execute(conn)
        .await
        .map(drop))?)
}
