//! What many members' balances are read from.

use std::collections::HashMap;

use common::db::{Access, Sql};
use common::ids::CustomerId;
use common::on;

use super::lots::{LotRow, lot_columns};
use crate::domain::currency::Wallet;
use crate::domain::lots::Lot;

/// The lots of some customers that have points left or held in one currency. Unlimited, as a balance needs all of them.
pub async fn list_open_lots(
    db: &mut impl Access,
    program_id: &str,
    wallet: &Wallet,
    customer_ids: &[&str],
) -> Result<HashMap<CustomerId, Vec<Lot>>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: concat!(
            "
            SELECT customer_id, ",
            lot_columns!(),
            "
            FROM lots
            WHERE program_id = $1
                AND currency = $2
                AND customer_id IN (SELECT json_array_elements_text(CAST($3 AS json)))
                AND (remaining > 0 OR held > 0)
            ORDER BY customer_id, lot_id"
        ),
        sqlite: concat!(
            "
            SELECT customer_id, ",
            lot_columns!(),
            "
            FROM lots
            WHERE program_id = $1
                AND currency = $2
                AND customer_id IN (SELECT value FROM json_each($3))
                AND (remaining > 0 OR held > 0)
            ORDER BY customer_id, lot_id"
        ),
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
        .bind(wallet)
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
