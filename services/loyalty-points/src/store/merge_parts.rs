//! What merges of members moved, and where points of a lot have gone by way of them.

use common::db::{Access, Sql, Tx, json_list};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

use super::merges::MergeRow;
use crate::domain::currency::Wallet;

/// Something that a merge moved, or that came back of it as another lot.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct PartRow {
    /// `lot`, `repaid` or `debt`.
    pub kind: String,
    /// The currency.
    #[serde(serialize_with = "as_stored")]
    #[serde(rename = "currency")]
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
    /// Whose lot.
    pub customer_id: String,
    /// The lot, but for debt.
    pub lot_id: Option<String>,
    /// To whom it went.
    pub to_customer_id: Option<String>,
    /// What it became.
    pub to_lot_id: Option<String>,
    /// How much.
    pub points: i64,
    /// The posting that made what it became; read, not written.
    #[serde(skip)]
    pub received_by: Option<String>,
}

fn as_stored<S: serde::Serializer>(wallet: &Wallet, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(wallet.as_stored())
}

/// Appends what a merge moved.
pub async fn insert(tx: &mut Tx, merge: &MergeRow, parts: &[PartRow]) -> Result<(), common::Error> {
    const LAST: &str = "
        SELECT COALESCE(MAX(part), 0) FROM merge_parts WHERE program_id = $1 AND merge_id = $2";
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO merge_parts
                (program_id, merge_id, part, kind, currency, customer_id, lot_id, to_customer_id, to_lot_id, points)
            SELECT $1, $2, part, kind, currency, customer_id, lot_id, to_customer_id, to_lot_id, points
            FROM json_to_recordset(CAST($3 AS json))
                AS new (part BIGINT, kind TEXT, currency TEXT, customer_id TEXT, lot_id TEXT, to_customer_id TEXT,
                        to_lot_id TEXT, points BIGINT)",
        sqlite: "
            INSERT INTO merge_parts
                (program_id, merge_id, part, kind, currency, customer_id, lot_id, to_customer_id, to_lot_id, points)
            SELECT $1, $2, value ->> 'part', value ->> 'kind', value ->> 'currency', value ->> 'customer_id',
                   value ->> 'lot_id', value ->> 'to_customer_id', value ->> 'to_lot_id',
                   value ->> 'points'
            FROM json_each($3)",
    };
    #[derive(Serialize)]
    struct Numbered<'a> {
        part: i64,
        #[serde(flatten)]
        row: &'a PartRow,
    }
    if parts.is_empty() {
        return Ok(());
    }
    let last = on!(tx, |conn| sqlx::query_scalar::<_, i64>(LAST)
        .bind(&merge.program_id)
        .bind(&merge.merge_id)
        .fetch_one(conn)
        .await)?;
    let numbered = (last + 1..).zip(parts);
    let rows: Vec<_> = numbered.map(|(part, row)| Numbered { part, row }).collect();
    let text = INSERT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(&merge.program_id)
        .bind(&merge.merge_id)
        .bind(json_list(&rows))
        .execute(conn)
        .await
        .map(drop))?)
}

/// What a merge moved, in order.
pub async fn list(db: &mut impl Access, merge: &MergeRow) -> Result<Vec<PartRow>, common::Error> {
    const SELECT: &str = "
        SELECT p.kind, p.currency, p.customer_id, p.lot_id, p.to_customer_id, p.to_lot_id, p.points,
               l.posting_id AS received_by
        FROM merge_parts p
        LEFT JOIN lots l ON l.customer_id = p.to_customer_id AND l.lot_id = p.to_lot_id
        WHERE p.program_id = $1 AND p.merge_id = $2
        ORDER BY p.part";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(&merge.program_id)
        .bind(&merge.merge_id)
        .fetch_all(conn)
        .await)?)
}

/// A lot that points of another lot have become by way of merges.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Descent {
    /// The lot they left first.
    pub origin: String,
    /// Whose lot they are in.
    pub customer_id: CustomerId,
    /// That lot.
    pub lot_id: String,
}

/// The other lots that merges have made of the same earning as a lot, or that it left from, of the member and of those
/// whom it stands for.
pub async fn list_of_same_earning(
    db: &mut impl Access,
    program_id: &str,
    (survivor, lot_id): (&CustomerId, &str),
) -> Result<Vec<(CustomerId, String)>, common::Error> {
    const SELECT: &str = "
        WITH RECURSIVE family (customer_id, lot_id) AS (
            SELECT l.customer_id, l.lot_id
            FROM lots l
            WHERE l.customer_id = $2 AND l.lot_id = $3
            UNION
            SELECT CASE p.lot_id WHEN f.lot_id THEN p.to_customer_id ELSE p.customer_id END,
                   CASE p.lot_id WHEN f.lot_id THEN p.to_lot_id ELSE p.lot_id END
            FROM family f
            JOIN members m ON m.program_id = $1 AND m.survivor = $2
            JOIN merge_parts p
                ON p.kind = 'lot'
                AND p.program_id = m.program_id
                AND p.customer_id = m.customer_id
                AND f.lot_id IN (p.lot_id, p.to_lot_id)
        )
        SELECT f.customer_id, f.lot_id
        FROM family f
        JOIN members m ON m.program_id = $1 AND m.customer_id = f.customer_id
        WHERE f.lot_id <> $3 AND $2 IN (m.customer_id, m.survivor)
        ORDER BY f.customer_id, f.lot_id";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(program_id)
        .bind(survivor)
        .bind(lot_id)
        .fetch_all(conn)
        .await)?)
}

/// The lots into which points of lots have gone: from a member's lots by one merge (its id), or from one lot (its id).
/// Of what has come back meanwhile as a new lot of the member and gone again, the origin is that one.
pub async fn list_descent(
    db: &mut impl Access,
    program_id: &str,
    customer_id: &CustomerId,
    (merge_id, lot_id): (&str, &str),
) -> Result<Vec<Descent>, common::Error> {
    const SELECT: &str = "
        WITH RECURSIVE descent (origin, customer_id, lot_id) AS (
            SELECT p.lot_id, p.to_customer_id, p.to_lot_id
            FROM merge_parts p
            WHERE p.kind = 'lot'
                AND p.program_id = $1
                AND p.customer_id = $2
                AND (p.merge_id = $3 OR p.lot_id = $4)
            UNION
            SELECT CASE d.customer_id WHEN $2 THEN d.lot_id ELSE d.origin END, p.to_customer_id, p.to_lot_id
            FROM descent d
            JOIN merge_parts p
                ON p.kind = 'lot' AND p.customer_id = d.customer_id AND p.lot_id = d.lot_id
        )
        SELECT origin, customer_id, lot_id
        FROM descent
        ORDER BY customer_id, lot_id";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(program_id)
        .bind(customer_id)
        .bind(merge_id)
        .bind(lot_id)
        .fetch_all(conn)
        .await)?)
}
