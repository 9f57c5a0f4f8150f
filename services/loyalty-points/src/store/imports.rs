//! What imports are decided on.

use std::collections::HashMap;

use common::db::{Access, Sql, json_list};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::domain::currency::Wallet;
use crate::domain::import;

/// An imported posting, as far as its row goes.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Imported {
    /// The row's identifier in the other system.
    pub source_ref: String,
    /// The member's customer.
    pub customer_id: CustomerId,
    /// The posting.
    pub posting_id: String,
    /// The JSON of a `Decision`.
    pub decision: Option<String>,
}

/// Which rows, of which system.
#[derive(Debug, Clone, Copy)]
pub struct OfSystem<'a> {
    /// The program.
    pub program_id: &'a str,
    /// The currency.
    pub wallet: &'a Wallet,
    /// The other system.
    pub source_type: &'a str,
    /// The rows' identifiers in it.
    pub source_refs: &'a [&'a str],
}

/// Which of some rows were imported before, in any order.
pub async fn list(db: &mut impl Access, of: OfSystem<'_>) -> Result<Vec<Imported>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT p.source_ref, p.customer_id, p.posting_id, p.decision
            FROM json_array_elements_text(CAST($3 AS json)) AS wanted (source_ref)
            JOIN postings p
                ON p.program_id = $1
                AND p.source_type = $2
                AND p.source_ref = wanted.source_ref
                AND p.rule = $4",
        sqlite: "
            SELECT p.source_ref, p.customer_id, p.posting_id, p.decision
            FROM json_each($3) AS wanted
            CROSS JOIN postings p
                ON p.program_id = $1
                AND p.source_type = $2
                AND p.source_ref = wanted.value
                AND p.rule = $4",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as::<_, Imported>(text)
        .bind(of.program_id)
        .bind(of.source_type)
        .bind(json_list(of.source_refs))
        .bind(import::rule(of.wallet))
        .fetch_all(conn)
        .await)?)
}

/// The latest instant from which anything in one account of each of some members counts, without those that have
/// nothing.
pub async fn list_latest(
    db: &mut impl Access,
    (program_id, wallet): (&str, &Wallet),
    customer_ids: &[&CustomerId],
) -> Result<HashMap<CustomerId, Timestamp>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT e.customer_id, MAX(e.effective_at)
            FROM postings p
            JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
            WHERE p.customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))
                AND e.program_id = $2
                AND p.currency = $3
            GROUP BY e.customer_id",
        sqlite: "
            SELECT e.customer_id, MAX(e.effective_at)
            FROM postings p
            JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
            WHERE p.customer_id IN (SELECT value FROM json_each($1))
                AND e.program_id = $2
                AND p.currency = $3
            GROUP BY e.customer_id",
    };
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, (CustomerId, Timestamp)>(
        text
    )
    .bind(json_list(&ids))
    .bind(program_id)
    .bind(wallet)
    .fetch_all(conn)
    .await)?;
    Ok(rows.into_iter().collect())
}

/// What has changed since an instant of what a member's lots had left, in the order of time. Unlimited, as a decision
/// needs all of it.
pub async fn list_later(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    after: Timestamp,
) -> Result<Vec<(String, i64)>, common::Error> {
    const SELECT: &str = "
        SELECT e.lot_id, CAST(SUM(e.points) AS BIGINT)
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        WHERE p.customer_id = $1
            AND e.program_id = $2
            AND e.account = 'member'
            AND e.effective_at > $3
        GROUP BY e.lot_id, e.effective_at
        ORDER BY e.effective_at, e.lot_id";
    Ok(on!(db, |conn| sqlx::query_as::<_, (String, i64)>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(after)
        .fetch_all(conn)
        .await)?)
}
