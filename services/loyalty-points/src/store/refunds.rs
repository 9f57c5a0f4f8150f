//! What was spent by a posting, and what of it was refunded.

use common::db::{Access, Sql};
use common::ids::CustomerId;
use common::on;

use super::lots::{LotRow, lot_columns};
use crate::domain::lots::Lot;
use crate::domain::refund::Spent;

/// What a posting took from which lots, in that order, and what refunds of it have returned to each.
pub async fn list_spent(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<Vec<Spent>, common::Error> {
    const SELECT: &str = "
        SELECT e.lot_id,
               -e.points AS points,
               (
                   SELECT CAST(COALESCE(SUM(r.points), 0) AS BIGINT)
                   FROM postings p
                   JOIN entries r ON r.customer_id = p.customer_id AND r.posting_id = p.posting_id
                   WHERE p.customer_id = e.customer_id
                       AND p.reverses = e.posting_id
                       AND r.lot_id = e.lot_id
                       AND r.account = 'member'
                       AND r.points > 0
               ) AS refunded
        FROM entries e
        WHERE e.customer_id = $1 AND e.posting_id = $2 AND e.lot_id IS NOT NULL AND e.points < 0
        ORDER BY e.line";
    let rows = on!(db, |conn| sqlx::query_as::<_, (String, i64, i64)>(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_all(conn)
        .await)?;
    let spent = |(lot_id, points, refunded)| Spent {
        lot_id,
        points,
        refunded,
    };
    Ok(rows.into_iter().map(spent).collect())
}

/// A member's lots with points left or held, and those named.
pub async fn list_lots(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    lot_ids: &[&str],
) -> Result<Vec<Lot>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: concat!(
            "
            SELECT ",
            lot_columns!(),
            "
            FROM lots
            WHERE customer_id = $1
                AND program_id = $2
                AND (remaining > 0 OR held > 0
                     OR lot_id IN (SELECT json_array_elements_text(CAST($3 AS json))))
            ORDER BY lot_id"
        ),
        sqlite: concat!(
            "
            SELECT ",
            lot_columns!(),
            "
            FROM lots
            WHERE customer_id = $1
                AND program_id = $2
                AND (remaining > 0 OR held > 0 OR lot_id IN (SELECT value FROM json_each($3)))
            ORDER BY lot_id"
        ),
    };
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, LotRow>(text)
        .bind(customer_id)
        .bind(program_id)
        .bind(common::db::json_list(lot_ids))
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(Lot::from).collect())
}
