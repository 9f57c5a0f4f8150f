//! Lots.

mod write;

use common::db::{Access, Sql, json_list};
use common::ids::CustomerId;
use common::time::Timestamp;
use common::{all, on};
use serde::Deserialize;

use super::accounts::MemberKey;
use crate::domain::currency::Wallet;
use crate::domain::lots::Lot;

pub use write::{NewLot, insert, update};

/// The columns of a lot, in the order of the rows below; of a table under a name, which ends in a dot.
macro_rules! lot_columns {
    () => {
        lot_columns!("")
    };
    ($of:literal) => {
        concat!(
            $of,
            "lot_id, ",
            $of,
            "original, ",
            $of,
            "remaining, ",
            $of,
            "held, ",
            $of,
            "consumed, ",
            $of,
            "expired, ",
            $of,
            "reversed, ",
            $of,
            "qualifying, ",
            $of,
            "earned_at, ",
            $of,
            "activates_at, ",
            $of,
            "expires_at, ",
            $of,
            "cancelled_at, ",
            $of,
            "currency"
        )
    };
}
pub(super) use lot_columns;

#[derive(sqlx::FromRow, Deserialize)]
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
    #[sqlx(rename = "currency")]
    wallet: Wallet,
}

impl From<LotRow> for Lot {
    fn from(row: LotRow) -> Self {
        Self {
            lot_id: row.lot_id,
            wallet: row.wallet,
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
    of: MemberKey<'_>,
    and_of_posting: &str,
) -> Result<Vec<Lot>, common::Error> {
    const SELECT: &str = concat!(
        "
        SELECT ",
        lot_columns!(),
        "
        FROM lots
        WHERE customer_id = $1
            AND program_id = $2
            AND ($3 IS NULL OR currency = $3)
            AND (remaining > 0 OR held > 0 OR posting_id = $4)
        ORDER BY lot_id"
    );
    let rows = on!(db, |conn| sqlx::query_as::<_, LotRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .bind(and_of_posting)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Lot::from).collect())
}

/// A lot with whose it is.
#[derive(sqlx::FromRow, Deserialize)]
struct OwnedRow {
    customer_id: CustomerId,
    program_id: String,
    #[sqlx(flatten)]
    lot: LotRow,
}

/// The lots of customers that have points left or held, each with the customer and the program, in any order.
/// Unlimited, as a decision needs all of them.
pub async fn list_open_of(
    db: &mut impl Access,
    customer_ids: &[&CustomerId],
) -> Result<Vec<(CustomerId, String, Lot)>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: concat!(
            "
            SELECT customer_id, program_id, ",
            lot_columns!(),
            "
            FROM json_array_elements_text(CAST($1 AS json)) AS wanted (id)
            CROSS JOIN LATERAL (
                SELECT customer_id, program_id, ",
            lot_columns!(),
            "
                FROM lots
                WHERE customer_id = wanted.id AND (remaining > 0 OR held > 0)
                OFFSET 0
            ) AS l"
        ),
        sqlite: concat!(
            "
            SELECT json_group_array(json_array(customer_id, program_id, json_array(",
            lot_columns!(),
            ")))
            FROM lots
            WHERE customer_id IN (SELECT value FROM json_each($1))
                AND (remaining > 0 OR held > 0)"
        ),
    };
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let rows = all!(db, SELECT, OwnedRow, json_list(&ids))?;
    let owned = |row: OwnedRow| (row.customer_id, row.program_id, row.lot.into());
    Ok(rows.into_iter().map(owned).collect())
}

/// Id of the lot that a posting made, if it made any; of several, of one of them.
pub async fn find_id_of_posting(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<Option<String>, common::Error> {
    const SELECT: &str = "
        SELECT lot_id FROM lots WHERE customer_id = $1 AND posting_id = $2 ORDER BY lot_id LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, String>(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_optional(conn)
        .await)?)
}

/// A member's lots as the entries effective by an instant, and posted by another one, tell them; only identity, times
/// as they are now, `remaining` and `held` are told.
pub async fn list_open_at(
    db: &mut impl Access,
    of: MemberKey<'_>,
    as_of: Timestamp,
    posted_by: Timestamp,
) -> Result<Vec<Lot>, common::Error> {
    const SELECT: &str = "
        SELECT l.lot_id, l.original,
               CAST(COALESCE(SUM(e.points) FILTER (WHERE e.account = 'member'), 0) AS BIGINT) AS remaining,
               CAST(COALESCE(SUM(e.points) FILTER (WHERE e.account = 'held'), 0) AS BIGINT) AS held,
               CAST(0 AS BIGINT) AS consumed, CAST(0 AS BIGINT) AS expired,
               CAST(0 AS BIGINT) AS reversed, l.qualifying, l.earned_at, l.activates_at, l.expires_at,
               l.cancelled_at, l.currency
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        JOIN lots l ON l.customer_id = e.customer_id AND l.lot_id = e.lot_id
        WHERE p.customer_id = $1
            AND e.program_id = $2
            AND ($3 IS NULL OR l.currency = $3)
            AND e.effective_at <= $4
            AND p.posted_at <= $5
        GROUP BY l.customer_id, l.lot_id
        HAVING SUM(e.points) > 0
        ORDER BY l.lot_id";
    let rows = on!(db, |conn| sqlx::query_as::<_, LotRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .bind(as_of)
        .bind(posted_by)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Lot::from).collect())
}

/// Where a page of lots begins: the spending order of the last lot before it.
pub type SpendingKey = (i64, i64, String);

/// A member's lots in the order of spending, each with the posting that made it.
pub async fn list(
    db: &mut impl Access,
    of: MemberKey<'_>,
    after: &SpendingKey,
    limit: i64,
) -> Result<Vec<(Lot, String)>, common::Error> {
    const SELECT: &str = concat!(
        "
        SELECT ",
        lot_columns!(),
        ", posting_id
        FROM lots
        WHERE customer_id = $1
            AND program_id = $2
            AND ($3 IS NULL OR currency = $3)
            AND (COALESCE(expires_at, $8), earned_at, lot_id) > ($4, $5, $6)
        ORDER BY COALESCE(expires_at, $8), earned_at, lot_id
        LIMIT $7"
    );
    let (expires_at, earned_at, lot_id) = after;
    let rows = on!(db, |conn| sqlx::query_as::<_, ListedRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
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
