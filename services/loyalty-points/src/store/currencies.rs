//! Point currencies of programs beside the first ones.

use common::db::{Access, Tx};
use common::on;

use crate::domain::currency::{CurrencyCode, PointCurrency};

/// A program's further currencies, in their order. As short as the program.
pub async fn list(
    db: &mut impl Access,
    program_id: &str,
) -> Result<Vec<PointCurrency>, common::Error> {
    const SELECT: &str = "
        SELECT currency, display_name, validity_days
        FROM currencies
        WHERE program_id = $1
        ORDER BY place";
    let rows = on!(db, |conn| sqlx::query_as::<_, (String, String, i64)>(
        SELECT
    )
    .bind(program_id)
    .fetch_all(conn)
    .await)?;
    let broken = |what| common::Error::Internal(format!("currencies of {program_id}: {what}"));
    let mut currencies = Vec::with_capacity(rows.len());
    for (code, display_name, validity_days) in rows {
        currencies.push(PointCurrency {
            code: CurrencyCode::parse(&code).map_err(broken)?,
            display_name,
            validity_days,
        });
    }
    Ok(currencies)
}

/// Writes the further currencies of a new program.
pub async fn insert(
    tx: &mut Tx,
    program_id: &str,
    currencies: &[PointCurrency],
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO currencies (program_id, currency, place, display_name, validity_days)
        VALUES ($1, $2, $3, $4, $5)";
    for (place, currency) in (1_i64..).zip(currencies) {
        on!(tx, |conn| sqlx::query(INSERT)
            .bind(program_id)
            .bind(currency.code.as_str())
            .bind(place)
            .bind(&currency.display_name)
            .bind(currency.validity_days)
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}
