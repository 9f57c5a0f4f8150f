//! The lines of postings: append-only.

use common::db::{Access, Sql, Tx, json_list, json_rows};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::accounts::AccountKey;

/// A line as stored.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct EntryRow {
    /// Its place in the posting, from 0.
    pub line: i64,
    /// The account.
    pub account: String,
    /// The lot.
    pub lot_id: Option<String>,
    /// The hold that its points belong to.
    pub hold_id: Option<String>,
    /// Signed amount.
    pub points: i64,
    /// From when on it counts in a balance of the past, in microseconds since 1970.
    pub effective_at: i64,
}

/// A line with the posting it belongs to.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// Its posting.
    pub posting_id: String,
    /// The line.
    pub entry: EntryRow,
}

/// Appends lines of postings.
pub async fn insert(tx: &mut Tx, new: &[NewEntry]) -> Result<(), common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO entries
                (customer_id, program_id, posting_id, line, account, lot_id, hold_id, points,
                 effective_at)
            SELECT customer_id, program_id, posting_id, line, account, lot_id, hold_id, points,
                   effective_at
            FROM json_to_recordset(CAST($1 AS json))
                AS entry (customer_id TEXT, program_id TEXT, posting_id TEXT, line BIGINT,
                          account TEXT, lot_id TEXT, hold_id TEXT, points BIGINT,
                          effective_at BIGINT)",
        sqlite: "
            INSERT INTO entries
                (customer_id, program_id, posting_id, line, account, lot_id, hold_id, points,
                 effective_at)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                   value ->> 6, value ->> 7, value ->> 8
            FROM jsonb_each($1)",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        program_id: &'a str,
        posting_id: &'a str,
        line: i64,
        account: &'a str,
        lot_id: Option<&'a str>,
        hold_id: Option<&'a str>,
        points: i64,
        effective_at: i64,
    }
    let rows: Vec<_> = new
        .iter()
        .map(|new| Row {
            customer_id: &new.customer_id,
            program_id: &new.program_id,
            posting_id: &new.posting_id,
            line: new.entry.line,
            account: &new.entry.account,
            lot_id: new.entry.lot_id.as_deref(),
            hold_id: new.entry.hold_id.as_deref(),
            points: new.entry.points,
            effective_at: new.entry.effective_at,
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

/// The lines of postings of one customer, each with its posting, in order.
pub async fn list(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_ids: &[&str],
) -> Result<Vec<(String, EntryRow)>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT posting_id, line, account, lot_id, hold_id, points, effective_at
            FROM entries
            WHERE customer_id = $1
                AND posting_id IN (SELECT json_array_elements_text(CAST($2 AS json)))
            ORDER BY posting_id, line",
        sqlite: "
            SELECT posting_id, line, account, lot_id, hold_id, points, effective_at
            FROM entries
            WHERE customer_id = $1
                AND posting_id IN (SELECT value FROM json_each($2))
            ORDER BY posting_id, line",
    };
    #[derive(sqlx::FromRow)]
    struct Row {
        posting_id: String,
        #[sqlx(flatten)]
        entry: EntryRow,
    }
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(customer_id)
        .bind(json_list(posting_ids))
        .fetch_all(conn)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.posting_id, row.entry))
        .collect())
}

/// What a member owed in one currency at an instant, by what was posted by another one.
pub async fn get_debt_at(
    db: &mut impl Access,
    account: AccountKey<'_>,
    as_of: Timestamp,
    posted_by: Timestamp,
) -> Result<i64, common::Error> {
    const SELECT: &str = "
        SELECT CAST(COALESCE(-SUM(e.points), 0) AS BIGINT)
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        WHERE p.customer_id = $1
            AND e.program_id = $2
            AND p.currency = $3
            AND e.account = 'debt'
            AND e.effective_at <= $4
            AND p.posted_at <= $5";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(account.customer_id)
        .bind(account.program_id)
        .bind(account.wallet)
        .bind(as_of)
        .bind(posted_by)
        .fetch_one(conn)
        .await)?)
}
