//! The lines of earnings.

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

use crate::domain::lines::Line;

/// A line as stored.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct LineRow {
    line_id: String,
    place: i64,
    weight: i64,
    quantity: i64,
    returned_weight: i64,
    returned_quantity: i64,
}

impl From<LineRow> for Line {
    fn from(row: LineRow) -> Self {
        Self {
            line_id: row.line_id,
            weight: row.weight,
            quantity: row.quantity,
            returned_weight: row.returned_weight,
            returned_quantity: row.returned_quantity,
        }
    }
}

fn rows(lines: &[Line]) -> Vec<LineRow> {
    let row = |(place, line): (i64, &Line)| LineRow {
        line_id: line.line_id.clone(),
        place,
        weight: line.weight,
        quantity: line.quantity,
        returned_weight: line.returned_weight,
        returned_quantity: line.returned_quantity,
    };
    (0..).zip(lines).map(row).collect()
}

/// Writes the lines of an earning, all in one statement.
pub async fn insert(
    tx: &mut Tx,
    customer_id: &CustomerId,
    posting_id: &str,
    lines: &[Line],
) -> Result<(), common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO earning_lines (customer_id, posting_id, line_id, place, weight, quantity)
            SELECT $1, $2, line_id, place, weight, quantity
            FROM json_to_recordset(CAST($3 AS json))
                AS line (line_id TEXT, place BIGINT, weight BIGINT, quantity BIGINT)",
        sqlite: "
            INSERT INTO earning_lines (customer_id, posting_id, line_id, place, weight, quantity)
            SELECT $1, $2, value ->> 'line_id', value ->> 'place', value ->> 'weight',
                   value ->> 'quantity'
            FROM json_each($3)",
    };
    let text = INSERT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(customer_id)
        .bind(posting_id)
        .bind(common::db::json_list(&rows(lines)))
        .execute(conn)
        .await
        .map(drop))?)
}

/// The lines of an earning, in order. Unlimited: there are at most a thousand.
pub async fn list(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<Vec<Line>, common::Error> {
    const SELECT: &str = "
        SELECT line_id, place, weight, quantity, returned_weight, returned_quantity
        FROM earning_lines
        WHERE customer_id = $1 AND posting_id = $2
        ORDER BY place";
    let rows = on!(db, |conn| sqlx::query_as::<_, LineRow>(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// Writes what was returned of the lines of an earning, all in one statement.
pub async fn update(
    tx: &mut Tx,
    customer_id: &CustomerId,
    posting_id: &str,
    lines: &[Line],
) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE earning_lines
            SET returned_weight = line.returned_weight,
                returned_quantity = line.returned_quantity
            FROM json_to_recordset(CAST($3 AS json))
                AS line (line_id TEXT, returned_weight BIGINT, returned_quantity BIGINT)
            WHERE earning_lines.customer_id = $1
                AND earning_lines.posting_id = $2
                AND earning_lines.line_id = line.line_id",
        sqlite: "
            UPDATE earning_lines
            SET returned_weight = line.value ->> 'returned_weight',
                returned_quantity = line.value ->> 'returned_quantity'
            FROM json_each($3) AS line
            WHERE earning_lines.customer_id = $1
                AND earning_lines.posting_id = $2
                AND earning_lines.line_id = line.value ->> 'line_id'",
    };
    let text = UPDATE.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(customer_id)
        .bind(posting_id)
        .bind(common::db::json_list(&rows(lines)))
        .execute(conn)
        .await
        .map(drop))?)
}
