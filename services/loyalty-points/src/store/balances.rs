//! What many members' balances are read from.

use std::collections::HashMap;

use common::db::{Access, Sql};
use common::ids::CustomerId;
use common::on;

use super::lots::LotRow;
use crate::domain::lots::Lot;

/// What each of some customers owes, without those that are no members, in any order.
pub async fn list_debts(
    db: &mut impl Access,
    program_id: &str,
    customer_ids: &[&str],
) -> Result<HashMap<CustomerId, i64>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT customer_id, debt
            FROM members
            WHERE program_id = $1
                AND customer_id IN (SELECT json_array_elements_text(CAST($2 AS json)))",
        sqlite: "
            SELECT customer_id, debt
            FROM members
            WHERE program_id = $1
                AND customer_id IN (SELECT value FROM json_each($2))",
    };
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, (CustomerId, i64)>(text)
        .bind(program_id)
        .bind(common::db::json_list(customer_ids))
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().collect())
}

/// The lots of some customers that have points left or held. Unlimited, as a balance needs all of them.
pub async fn list_open_lots(
    db: &mut impl Access,
    program_id: &str,
    customer_ids: &[&str],
) -> Result<HashMap<CustomerId, Vec<Lot>>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT customer_id, lot_id, original, remaining, held, consumed, expired, reversed,
                   qualifying, earned_at, activates_at, expires_at, cancelled_at
            FROM lots
            WHERE program_id = $1
                AND customer_id IN (SELECT json_array_elements_text(CAST($2 AS json)))
                AND (remaining > 0 OR held > 0)
            ORDER BY customer_id, lot_id",
        sqlite: "
            SELECT customer_id, lot_id, original, remaining, held, consumed, expired, reversed,
                   qualifying, earned_at, activates_at, expires_at, cancelled_at
            FROM lots
            WHERE program_id = $1
                AND customer_id IN (SELECT value FROM json_each($2))
                AND (remaining > 0 OR held > 0)
            ORDER BY customer_id, lot_id",
    };
    #[derive(sqlx::FromRow)]
    struct Row {
        customer_id: CustomerId,
        #[sqlx(flatten)]
        lot: LotRow,
    }
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(program_id)
        .bind(common::db::json_list(customer_ids))
        .fetch_all(conn)
        .await)?;
    let mut lots: HashMap<CustomerId, Vec<Lot>> = HashMap::new();
    for row in rows {
        lots.entry(row.customer_id)
            .or_default()
            .push(row.lot.into());
    }
    Ok(lots)
}
