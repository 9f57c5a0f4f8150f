//! Writes lots.

use common::db::{Access as _, Sql, Tx, json_rows};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use crate::domain::lots::Lot;

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

/// Writes new lots.
pub async fn insert(tx: &mut Tx, new: &[NewLot<'_>]) -> Result<(), common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO lots
                (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed,
                 expired, reversed, qualifying, earned_at, activates_at, expires_at, currency)
            SELECT customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed,
                   expired, reversed, qualifying, earned_at, activates_at, expires_at, currency
            FROM json_to_recordset(CAST($1 AS json))
                AS lot (customer_id TEXT, lot_id TEXT, program_id TEXT, posting_id TEXT,
                        original BIGINT, remaining BIGINT, held BIGINT, consumed BIGINT,
                        expired BIGINT, reversed BIGINT, qualifying BIGINT, earned_at BIGINT,
                        activates_at BIGINT, expires_at BIGINT, currency TEXT)",
        sqlite: "
            INSERT INTO lots
                (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed,
                 expired, reversed, qualifying, earned_at, activates_at, expires_at, currency)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                   value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
                   value ->> 12, value ->> 13, value ->> 14
            FROM jsonb_each($1)",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        lot_id: &'a str,
        program_id: &'a str,
        posting_id: &'a str,
        original: i64,
        remaining: i64,
        held: i64,
        consumed: i64,
        expired: i64,
        reversed: i64,
        qualifying: i64,
        earned_at: i64,
        activates_at: Option<i64>,
        expires_at: Option<i64>,
        currency: &'a str,
    }
    let rows: Vec<_> = new
        .iter()
        .map(|new| Row {
            customer_id: new.customer_id.as_str(),
            lot_id: &new.lot.lot_id,
            program_id: new.program_id,
            posting_id: new.posting_id,
            original: new.lot.original,
            remaining: new.lot.remaining,
            held: new.lot.held,
            consumed: new.lot.consumed,
            expired: new.lot.expired,
            reversed: new.lot.reversed,
            qualifying: new.lot.qualifying,
            earned_at: new.lot.earned_at.micros(),
            activates_at: new.lot.activates_at.map(Timestamp::micros),
            expires_at: new.lot.expires_at.map(Timestamp::micros),
            currency: new.lot.wallet.as_stored(),
        })
        .collect();
    let text = INSERT.text(tx.dialect());
    let rows = json_rows(tx.dialect(), &rows);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(rows)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes the amounts of lots.
pub async fn update(tx: &mut Tx, changed: &[(&CustomerId, &Lot)]) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE lots AS l
            SET remaining = new.remaining,
                held = new.held,
                consumed = new.consumed,
                expired = new.expired,
                reversed = new.reversed,
                qualifying = new.qualifying
            FROM json_to_recordset(CAST($1 AS json))
                AS new (customer_id TEXT, lot_id TEXT, remaining BIGINT, held BIGINT, consumed BIGINT,
                        expired BIGINT, reversed BIGINT, qualifying BIGINT)
            WHERE l.customer_id = new.customer_id AND l.lot_id = new.lot_id",
        sqlite: "
            UPDATE lots AS l
            SET remaining = new.value ->> 2,
                held = new.value ->> 3,
                consumed = new.value ->> 4,
                expired = new.value ->> 5,
                reversed = new.value ->> 6,
                qualifying = new.value ->> 7
            FROM jsonb_each($1) AS new
            WHERE l.customer_id = new.value ->> 0 AND l.lot_id = new.value ->> 1",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        lot_id: &'a str,
        remaining: i64,
        held: i64,
        consumed: i64,
        expired: i64,
        reversed: i64,
        qualifying: i64,
    }
    let rows: Vec<_> = changed
        .iter()
        .map(|(customer_id, lot)| Row {
            customer_id: customer_id.as_str(),
            lot_id: &lot.lot_id,
            remaining: lot.remaining,
            held: lot.held,
            consumed: lot.consumed,
            expired: lot.expired,
            reversed: lot.reversed,
            qualifying: lot.qualifying,
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    let rows = json_rows(tx.dialect(), &rows);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(rows)
        .execute(conn)
        .await
        .map(drop))?)
}
