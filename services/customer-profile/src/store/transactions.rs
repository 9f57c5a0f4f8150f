//! Purchases and their lines.

use std::collections::HashMap;

use common::db::{Access, Sql, Tx};
use common::money::{Currency, Money};
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::customer_row::{corrupt, stored_id};
use super::{Stretch, execute, json, rows};
use crate::domain::{Key, Line, Transaction, Voided};
use crate::error::Error;

/// A stretch takes no further purchase once it has this many lines: with the last one's they stay well
/// below the 4 MiB that clients take in one message by default.
const LISTED_LINES_MAX: i64 = 2000;

#[derive(Debug, Serialize, sqlx::FromRow)]
struct Row {
    customer_id: String,
    transaction_id: String,
    source: String,
    external_id: String,
    occurred_at: i64,
    currency: String,
    total_micros: i64,
    recorded_at: i64,
    voided_at: Option<i64>,
    void_reason: Option<String>,
}

#[derive(Debug, Serialize, sqlx::FromRow)]
struct LineRow {
    customer_id: String,
    transaction_id: String,
    line: i64,
    sku: String,
    category: String,
    quantity: i64,
    amount_micros: i64,
}

macro_rules! select {
    ($from:expr) => {
        concat!(
            "SELECT t.customer_id, t.transaction_id, t.source, t.external_id, t.occurred_at, t.currency,
                t.total_micros, t.recorded_at, t.voided_at, t.void_reason ",
            $from
        )
    };
}

/// The purchases recorded under the keys.
pub async fn find_by_keys(db: &mut impl Access, keys: &[&Key]) -> Result<Vec<Transaction>, Error> {
    const SELECT: Sql = rows!([source text, external_id text] select!(
        "FROM r
        JOIN customer_transaction AS t ON t.source = r.source AND t.external_id = r.external_id
        ORDER BY t.source, t.external_id"));
    let (sql, keys) = (SELECT.text(db.dialect()), json(&keys));
    let rows = on!(db, |conn| sqlx::query_as(sql)
        .bind(&keys)
        .fetch_all(conn)
        .await)?;
    with_lines(db, rows).await
}

/// One purchase.
pub async fn find(db: &mut impl Access, id: &str) -> Result<Option<Transaction>, Error> {
    const SELECT: &str = select!("FROM customer_transaction AS t WHERE t.transaction_id = $1");
    let rows = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(id)
        .fetch_all(conn)
        .await)?;
    Ok(with_lines(db, rows).await?.pop())
}

/// A stretch of a customer's purchases; whether it ends early because of their many lines.
pub async fn list(
    db: &mut impl Access,
    stretch: Stretch<'_>,
) -> Result<(Vec<Transaction>, bool), Error> {
    #[derive(sqlx::FromRow)]
    struct Listed {
        #[sqlx(flatten)]
        row: Row,
        lines: i64,
    }
    const SELECT: &str = "
        SELECT t.customer_id, t.transaction_id, t.source, t.external_id, t.occurred_at, t.currency,
            t.total_micros, t.recorded_at, t.voided_at, t.void_reason,
            (SELECT COUNT(*)
            FROM transaction_line AS l
            WHERE l.customer_id = t.customer_id AND l.transaction_id = t.transaction_id) AS lines
        FROM customer_transaction AS t
        WHERE t.customer_id = $1 AND t.occurred_at <= $2 AND (t.occurred_at, t.transaction_id) < ($3, $4)
        ORDER BY t.occurred_at DESC, t.transaction_id DESC
        LIMIT $5";
    let Stretch {
        customer_id,
        as_of,
        before,
        limit,
    } = stretch;
    let listed: Vec<Listed> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    let (mut lines, found) = (0, listed.len());
    let fits = |listed: &Listed| {
        let fits = lines < LISTED_LINES_MAX;
        lines += listed.lines;
        fits
    };
    let rows: Vec<_> = listed.into_iter().take_while(fits).map(|l| l.row).collect();
    let ends_early = rows.len() < found;
    Ok((with_lines(db, rows).await?, ends_early))
}

/// Inserts new purchases; returns how many: fewer when another writer took a key since we looked.
pub async fn insert(tx: &mut Tx, transactions: &[&Transaction]) -> Result<u64, Error> {
    const TRANSACTIONS: Sql = rows!(
        [customer_id text, transaction_id text, source text, external_id text, occurred_at bigint,
            currency text, total_micros bigint, recorded_at bigint]
        "INSERT INTO customer_transaction (customer_id, transaction_id, source, external_id, occurred_at,
            currency, total_micros, recorded_at)
        SELECT customer_id, transaction_id, source, external_id, occurred_at, currency, total_micros, recorded_at
        FROM r
        WHERE TRUE
        ON CONFLICT (source, external_id) DO NOTHING");
    const LINES: Sql = rows!(
        [customer_id text, transaction_id text, line bigint, sku text, category text, quantity bigint,
            amount_micros bigint]
        "INSERT INTO transaction_line (customer_id, transaction_id, line, sku, category, quantity, amount_micros)
        SELECT customer_id, transaction_id, line, sku, category, quantity, amount_micros
        FROM r");
    let mut rows: Vec<_> = transactions
        .iter()
        .map(|transaction| Row::from(*transaction))
        .collect();
    // Unique keys are waited for in one order, so that two batches never wait for each other.
    rows.sort_by(|a, b| (&a.source, &a.external_id).cmp(&(&b.source, &b.external_id)));
    let inserted = execute(tx, TRANSACTIONS, &rows).await?;
    let lines: Vec<_> = transactions
        .iter()
        .flat_map(|transaction| line_rows(transaction))
        .collect();
    if inserted == rows.len() as u64 && !lines.is_empty() {
        execute(tx, LINES, &lines).await?;
    }
    Ok(inserted)
}

/// Marks a purchase as voided.
pub async fn update_voided(
    tx: &mut Tx,
    transaction: &Transaction,
    voided: &Voided,
) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE customer_transaction
        SET voided_at = $3, void_reason = $4
        WHERE customer_id = $1 AND transaction_id = $2";
    on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&transaction.customer_id)
        .bind(&transaction.id)
        .bind(voided.at)
        .bind(&voided.reason)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

async fn with_lines(db: &mut impl Access, rows: Vec<Row>) -> Result<Vec<Transaction>, Error> {
    #[derive(Serialize)]
    struct IdRow<'a> {
        customer_id: &'a str,
        transaction_id: &'a str,
    }
    const SELECT: Sql = rows!([customer_id text, transaction_id text]
        "SELECT l.customer_id, l.transaction_id, l.line, l.sku, l.category, l.quantity, l.amount_micros
        FROM r
        JOIN transaction_line AS l
            ON l.customer_id = r.customer_id AND l.transaction_id = r.transaction_id
        ORDER BY l.transaction_id, l.line");
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = rows
        .iter()
        .map(|row| IdRow {
            customer_id: &row.customer_id,
            transaction_id: &row.transaction_id,
        })
        .collect();
    let (sql, ids) = (SELECT.text(db.dialect()), json(&ids));
    let found: Vec<LineRow> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    let mut lines: HashMap<String, Vec<Line>> = HashMap::new();
    for row in found {
        let LineRow {
            sku,
            category,
            quantity,
            amount_micros,
            ..
        } = row;
        lines.entry(row.transaction_id).or_default().push(Line {
            sku,
            category,
            quantity,
            amount_micros,
        });
    }
    rows.into_iter()
        .map(|row| {
            let lines = lines.remove(&row.transaction_id).unwrap_or_default();
            row.transaction(lines)
        })
        .collect()
}

fn line_rows(transaction: &Transaction) -> impl Iterator<Item = LineRow> + '_ {
    (0..).zip(&transaction.lines).map(|(line, of)| LineRow {
        customer_id: transaction.customer_id.to_string(),
        transaction_id: transaction.id.clone(),
        line,
        sku: of.sku.clone(),
        category: of.category.clone(),
        quantity: of.quantity,
        amount_micros: of.amount_micros,
    })
}

impl From<&Transaction> for Row {
    fn from(transaction: &Transaction) -> Self {
        Self {
            customer_id: transaction.customer_id.to_string(),
            transaction_id: transaction.id.clone(),
            source: transaction.key.source.clone(),
            external_id: transaction.key.external_id.clone(),
            occurred_at: transaction.occurred_at.micros(),
            currency: transaction.total.currency.to_string(),
            total_micros: transaction.total.micros,
            recorded_at: transaction.recorded_at.micros(),
            voided_at: None,
            void_reason: None,
        }
    }
}

impl Row {
    fn transaction(self, lines: Vec<Line>) -> Result<Transaction, Error> {
        let currency =
            Currency::parse(&self.currency).map_err(|_| corrupt("currency", &self.currency))?;
        let voided = self.voided_at.map(|at| Voided {
            at: Timestamp::from_micros(at),
            reason: self.void_reason.unwrap_or_default(),
        });
        Ok(Transaction {
            id: self.transaction_id,
            customer_id: stored_id(&self.customer_id)?,
            key: Key {
                source: self.source,
                external_id: self.external_id,
            },
            occurred_at: Timestamp::from_micros(self.occurred_at),
            total: Money {
                currency,
                micros: self.total_micros,
            },
            lines,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            voided,
        })
    }
}
