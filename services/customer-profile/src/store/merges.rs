//! Merges, and who stands for whom.

use std::collections::{BTreeMap, BTreeSet};

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use super::customer_row::stored_id;
use super::id_rows;
use crate::domain::{Merge, Undone};
use crate::error::Error;

#[derive(Debug, sqlx::FromRow)]
struct Row {
    merge_id: String,
    survivor: String,
    absorbed: String,
    actor: String,
    reason: String,
    merged_at: Timestamp,
    unmerged_at: Option<Timestamp>,
    unmerge_actor: Option<String>,
    unmerge_reason: Option<String>,
}

macro_rules! select {
    ($from:expr) => {
        concat!(
            "SELECT merge_id, survivor, absorbed, actor, reason, merged_at, unmerged_at, unmerge_actor,
                unmerge_reason
            FROM merges ",
            $from
        )
    };
}

/// Those of the customers that were merged, with the customer at the end of their chain.
pub async fn survivors(
    db: &mut impl Access,
    ids: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<CustomerId, CustomerId>, Error> {
    const SELECT: Sql = Sql {
        postgres: "
            WITH RECURSIVE chain (customer_id, merged_into) AS (
                SELECT c.customer_id, c.merged_into
                FROM json_to_recordset(CAST($1 AS json)) AS r(customer_id text)
                JOIN customer AS c ON c.customer_id = r.customer_id
                WHERE c.merged_into IS NOT NULL
                UNION
                SELECT chain.customer_id, c.merged_into
                FROM chain
                JOIN customer AS c ON c.customer_id = chain.merged_into
                WHERE c.merged_into IS NOT NULL)
            SELECT chain.customer_id, chain.merged_into
            FROM chain
            JOIN customer AS c ON c.customer_id = chain.merged_into
            WHERE c.merged_into IS NULL
            ORDER BY chain.customer_id",
        sqlite: "
            WITH RECURSIVE chain (customer_id, merged_into) AS (
                SELECT c.customer_id, c.merged_into
                FROM json_each($1) AS r
                JOIN customer AS c ON c.customer_id = r.value->>'customer_id'
                WHERE c.merged_into IS NOT NULL
                UNION
                SELECT chain.customer_id, c.merged_into
                FROM chain
                JOIN customer AS c ON c.customer_id = chain.merged_into
                WHERE c.merged_into IS NOT NULL)
            SELECT chain.customer_id, chain.merged_into
            FROM chain
            JOIN customer AS c ON c.customer_id = chain.merged_into
            WHERE c.merged_into IS NULL
            ORDER BY chain.customer_id",
    };
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (sql, ids) = (SELECT.text(db.dialect()), id_rows(ids));
    let rows: Vec<(CustomerId, CustomerId)> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().collect())
}

/// Whether customers are merged into this one.
pub async fn has_absorbed(db: &mut impl Access, id: &CustomerId) -> Result<bool, Error> {
    const SELECT: &str = "SELECT customer_id FROM customer WHERE merged_into = $1 LIMIT 1";
    let found: Option<(CustomerId,)> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(id)
        .fetch_optional(conn)
        .await)?;
    Ok(found.is_some())
}

/// Writes into whom a locked customer is merged, or that it stands for itself.
pub async fn update_merged_into(
    tx: &mut Tx,
    id: &CustomerId,
    merged_into: Option<&CustomerId>,
) -> Result<(), Error> {
    const UPDATE: &str = "UPDATE customer SET merged_into = $2 WHERE customer_id = $1";
    let merged_into = merged_into.map(CustomerId::as_str);
    on!(tx, |conn| sqlx::query(UPDATE)
        .bind(id)
        .bind(merged_into)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Inserts a merge.
pub async fn insert(tx: &mut Tx, merge: &Merge) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO merges (merge_id, survivor, absorbed, actor, reason, merged_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&merge.id)
        .bind(&merge.survivor)
        .bind(&merge.absorbed)
        .bind(&merge.actor)
        .bind(&merge.reason)
        .bind(merge.merged_at)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes that a merge is undone.
pub async fn update_undone(tx: &mut Tx, merge_id: &str, undone: &Undone) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE merges
        SET unmerged_at = $2, unmerge_actor = $3, unmerge_reason = $4
        WHERE merge_id = $1";
    on!(tx, |conn| sqlx::query(UPDATE)
        .bind(merge_id)
        .bind(undone.at)
        .bind(&undone.actor)
        .bind(&undone.reason)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// One merge.
pub async fn find(db: &mut impl Access, merge_id: &str) -> Result<Option<Merge>, Error> {
    const SELECT: &str = select!("WHERE merge_id = $1");
    let row: Option<Row> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(merge_id)
        .fetch_optional(conn)
        .await)?;
    row.map(Row::merge).transpose()
}

/// Merges before a place, the latest first: all, or those of one customer.
pub async fn list(
    db: &mut impl Access,
    customer_id: Option<&CustomerId>,
    before: (Timestamp, &str),
    limit: i64,
) -> Result<Vec<Merge>, Error> {
    const ALL: &str = select!(
        "WHERE (merged_at, merge_id) < ($1, $2)
        ORDER BY merged_at DESC, merge_id DESC
        LIMIT $3"
    );
    const OF_CUSTOMER: &str = select!(
        "WHERE (merged_at, merge_id) < ($1, $2) AND (survivor = $4 OR absorbed = $4)
        ORDER BY merged_at DESC, merge_id DESC
        LIMIT $3"
    );
    let rows: Vec<Row> = match customer_id {
        None => on!(db, |conn| sqlx::query_as(ALL)
            .bind(before.0)
            .bind(before.1)
            .bind(limit)
            .fetch_all(conn)
            .await)?,
        Some(id) => on!(db, |conn| sqlx::query_as(OF_CUSTOMER)
            .bind(before.0)
            .bind(before.1)
            .bind(limit)
            .bind(id)
            .fetch_all(conn)
            .await)?,
    };
    rows.into_iter().map(Row::merge).collect()
}

impl Row {
    fn merge(self) -> Result<Merge, Error> {
        let undone = self.unmerged_at.map(|at| Undone {
            actor: self.unmerge_actor.unwrap_or_default(),
            reason: self.unmerge_reason.unwrap_or_default(),
            at,
        });
        Ok(Merge {
            survivor: stored_id(&self.survivor)?,
            absorbed: stored_id(&self.absorbed)?,
            id: self.merge_id,
            actor: self.actor,
            reason: self.reason,
            merged_at: self.merged_at,
            undone,
        })
    }
}
