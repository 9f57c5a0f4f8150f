//! The customers' ids in other systems.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

use super::customer_row::stored_id;
use super::{execute, json, rows};
use crate::domain::{Customer, Key};
use crate::error::Error;

#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
struct ExternalIdRow {
    source: String,
    external_id: String,
    customer_id: String,
}

/// Who has each of the external ids.
pub async fn owners(
    db: &mut impl Access,
    keys: &BTreeSet<Key>,
) -> Result<HashMap<Key, CustomerId>, Error> {
    const SELECT: Sql = rows!([source text, external_id text]
        "SELECT e.source, e.external_id, e.customer_id
        FROM r
        JOIN external_id AS e ON e.source = r.source AND e.external_id = r.external_id
        ORDER BY e.source, e.external_id");
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (sql, keys) = (SELECT.text(db.dialect()), json(keys));
    let rows: Vec<ExternalIdRow> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&keys)
        .fetch_all(conn)
        .await)?;
    let owner = |row: ExternalIdRow| {
        let key = Key {
            source: row.source,
            external_id: row.external_id,
        };
        Ok((key, stored_id(&row.customer_id)?))
    };
    rows.into_iter().map(owner).collect()
}

/// Inserts the customers' external ids. Another writer may have taken one: that is `KeyRaced`.
pub async fn insert(tx: &mut Tx, customers: &[&Customer]) -> Result<(), Error> {
    const INSERT: Sql = rows!([source text, external_id text, customer_id text]
        "INSERT INTO external_id (source, external_id, customer_id)
        SELECT source, external_id, customer_id
        FROM r
        WHERE TRUE
        ON CONFLICT (source, external_id) DO NOTHING");
    let mut rows: Vec<_> = customers
        .iter()
        .flat_map(|customer| {
            customer.profile.external_keys().map(|key| ExternalIdRow {
                source: key.source,
                external_id: key.external_id,
                customer_id: customer.id.to_string(),
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by(|a, b| (&a.source, &a.external_id).cmp(&(&b.source, &b.external_id)));
    if execute(tx, INSERT, &rows).await? != rows.len() as u64 {
        return Err(Error::KeyRaced);
    }
    Ok(())
}

/// The customers' external ids, by customer.
pub async fn by_customer(
    db: &mut impl Access,
    ids: &[&str],
) -> Result<HashMap<String, BTreeMap<String, String>>, Error> {
    const SELECT: Sql = rows!([customer_id text]
        "SELECT e.source, e.external_id, e.customer_id
        FROM external_id AS e
        WHERE e.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY e.customer_id, e.source");
    let ids: Vec<_> = ids
        .iter()
        .map(|id| BTreeMap::from([("customer_id", id)]))
        .collect();
    let (sql, ids) = (SELECT.text(db.dialect()), json(&ids));
    let rows: Vec<ExternalIdRow> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    let mut found: HashMap<String, BTreeMap<String, String>> = HashMap::new();
    for row in rows {
        found
            .entry(row.customer_id)
            .or_default()
            .insert(row.source, row.external_id);
    }
    Ok(found)
}
