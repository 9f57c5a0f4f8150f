//! All SQL of this service. Batches travel as one JSON parameter, whatever their size.

mod customer_row;
mod customers;
pub mod data_keys;
mod external_ids;
pub mod interactions;
pub mod merges;
pub mod personal;
mod summary;
pub mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use common::ids::CustomerId;
use common::time::Timestamp;

pub use customers::{
    delete, find, find_standing, insert, list, load, lock, retire, retired, update,
    update_revisions,
};
pub use external_ids::owners;
pub use summary::{InteractionStats, SpendStats, interaction_stats, spend_stats, voided_count};

/// A stretch of one customer's timeline, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// Whose.
    pub customer_id: &'a CustomerId,
    /// Only what happened up to here.
    pub as_of: Timestamp,
    /// Only what stands after this place: when it happened, and its id.
    pub before: (Timestamp, &'a str),
    /// At most this many.
    pub limit: i64,
}

/// A statement over a batch of rows: `rows!([customer_id text, revision bigint] "UPDATE … FROM r …")` reads
/// `$1`, a JSON list of objects, as the table `r`. The two databases spell only that table differently. A text
/// after `lock:` is for PostgreSQL alone: SQLite's writer is exclusive already. Bytes, of type `hex`, travel as `Hex`.
macro_rules! rows {
    ([$first:ident $first_type:ident $(, $column:ident $type:ident)*] $body:expr $(, lock: $lock:expr)?) => {
        common::db::Sql {
            postgres: concat!(
                "WITH r AS (SELECT ",
                $crate::store::column!(postgres $first $first_type),
                $(", ", $crate::store::column!(postgres $column $type),)*
                " FROM json_to_recordset(CAST($1 AS json)) AS r(",
                $crate::store::column!(typed $first $first_type),
                $(", ", $crate::store::column!(typed $column $type),)*
                ")) ", $body $(, $lock)?
            ),
            sqlite: concat!(
                "WITH r AS (SELECT ",
                $crate::store::column!(sqlite $first $first_type),
                $(", ", $crate::store::column!(sqlite $column $type),)*
                " FROM json_each($1)) ", $body
            ),
        }
    };
}
pub(crate) use rows;

/// A column of `r`, in the words of a database.
macro_rules! column {
    (postgres $column:ident hex) => {
        concat!(
            "decode(",
            stringify!($column),
            ", 'hex') AS ",
            stringify!($column)
        )
    };
    (postgres $column:ident $type:ident) => {
        stringify!($column)
    };
    (typed $column:ident hex) => {
        concat!(stringify!($column), " text")
    };
    (typed $column:ident $type:ident) => {
        concat!(stringify!($column), " ", stringify!($type))
    };
    (sqlite $column:ident hex) => {
        concat!(
            "unhex(value->>'",
            stringify!($column),
            "') AS ",
            stringify!($column)
        )
    };
    (sqlite $column:ident $type:ident) => {
        concat!(
            "value->>'",
            stringify!($column),
            "' AS ",
            stringify!($column)
        )
    };
}
pub(crate) use column;

/// Rows as the JSON that `rows!` reads.
fn json(rows: &impl serde::Serialize) -> String {
    serde_json::to_string(rows).expect("rows hold text and numbers only")
}

/// Customers as rows that `rows!` reads.
fn id_rows(ids: &BTreeSet<CustomerId>) -> String {
    let ids: Vec<_> = ids
        .iter()
        .map(|id| BTreeMap::from([("customer_id", id.as_str())]))
        .collect();
    json(&ids)
}

/// Runs a statement over a batch; returns the number of rows it changed.
async fn execute(
    tx: &mut common::db::Tx,
    sql: common::db::Sql,
    rows: &impl serde::Serialize,
) -> Result<u64, sqlx::Error> {
    use common::db::Access as _;
    let (text, rows) = (sql.text(tx.dialect()), json(rows));
    common::on!(tx, |conn| sqlx::query(text)
        .bind(&rows)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
}
