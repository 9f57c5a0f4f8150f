//! The key of each customer's data.

use std::collections::{BTreeMap, BTreeSet};

use common::db::{Access, Hex, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::sealing::{DataKey, KeyRing, Owner, SealError, Wrapped};
use serde::Serialize;

use super::{execute, id_rows, rows};
use crate::error::Error;

/// The data keys of some customers.
pub type DataKeys = BTreeMap<CustomerId, DataKey>;

/// A data key among the columns of what it seals; `None` where the customer has none yet.
#[derive(Clone, sqlx::FromRow)]
pub struct KeyRow {
    key_id: Option<String>,
    wrapped_key: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct OwnedRow {
    customer_id: CustomerId,
    key_id: String,
    wrapped_key: Vec<u8>,
}

#[derive(Serialize)]
struct NewRow<'a> {
    customer_id: &'a str,
    key_id: &'a str,
    wrapped_key: Hex<'a>,
}

impl KeyRow {
    /// The key of a customer who has something sealed.
    pub fn data_key(self, ring: &KeyRing, customer_id: &CustomerId) -> Result<DataKey, Error> {
        match (self.key_id, self.wrapped_key) {
            (Some(key_id), Some(bytes)) => {
                let wrapped = Wrapped { key_id, bytes };
                Ok(ring.unwrap(owner(customer_id), &wrapped)?)
            }
            _ => Err(SealError::Broken {
                table: "data_key",
                column: "wrapped_key",
                row: customer_id.to_string(),
            }
            .into()),
        }
    }
}

/// Makes and stores the keys of customers who have none. Call it with the customers' rows locked, or just inserted.
pub async fn insert<'a>(
    tx: &mut Tx,
    ring: &KeyRing,
    ids: impl IntoIterator<Item = &'a CustomerId>,
) -> Result<DataKeys, Error> {
    const INSERT: Sql = rows!([customer_id text, key_id text, wrapped_key hex]
        "INSERT INTO data_key (customer_id, key_id, wrapped_key)
        SELECT customer_id, key_id, wrapped_key
        FROM r");
    let mut keys = DataKeys::new();
    for id in ids {
        keys.insert(id.clone(), DataKey::generate()?);
    }
    if !keys.is_empty() {
        let wrapped = wrap(ring, &keys)?;
        execute(tx, INSERT, &new_rows(&wrapped)).await?;
    }
    Ok(keys)
}

/// The keys of locked customers, made where there are none.
pub async fn get_or_insert(
    tx: &mut Tx,
    ring: &KeyRing,
    ids: &BTreeSet<CustomerId>,
) -> Result<DataKeys, Error> {
    let mut keys = find(tx, ring, ids).await?;
    let missing = ids.iter().filter(|id| !keys.contains_key(id));
    let missing: Vec<_> = missing.collect();
    keys.append(&mut insert(tx, ring, missing).await?);
    Ok(keys)
}

/// Wraps the keys of locked customers under the current key.
pub async fn update_wrapped(
    tx: &mut Tx,
    ring: &KeyRing,
    ids: &BTreeSet<CustomerId>,
) -> Result<(), Error> {
    const UPDATE: Sql = rows!([customer_id text, key_id text, wrapped_key hex]
        "UPDATE data_key
        SET key_id = r.key_id, wrapped_key = r.wrapped_key
        FROM r
        WHERE data_key.customer_id = r.customer_id");
    let keys = find(tx, ring, ids).await?;
    let wrapped = wrap(ring, &keys)?;
    execute(tx, UPDATE, &new_rows(&wrapped)).await?;
    Ok(())
}

/// Customers after an id whose keys are wrapped under a key, ordered by id.
pub async fn list_under(
    db: &mut impl Access,
    key_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<CustomerId>, Error> {
    const SELECT: &str = "
        SELECT customer_id
        FROM data_key
        WHERE key_id = $1 AND customer_id > $2
        ORDER BY customer_id
        LIMIT $3";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(key_id)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// How many keys are wrapped under each key.
pub async fn counts(db: &mut impl Access) -> Result<BTreeMap<String, i64>, Error> {
    // There are as many groups as the operator has made keys.
    const SELECT: &str =
        "SELECT key_id, COUNT(*) FROM data_key GROUP BY key_id ORDER BY key_id LIMIT 1000";
    let rows: Vec<(String, i64)> = on!(db, |conn| sqlx::query_as(SELECT).fetch_all(conn).await)?;
    Ok(rows.into_iter().collect())
}

async fn find(
    db: &mut impl Access,
    ring: &KeyRing,
    ids: &BTreeSet<CustomerId>,
) -> Result<DataKeys, Error> {
    const SELECT: Sql = rows!([customer_id text]
        "SELECT k.customer_id, k.key_id, k.wrapped_key
        FROM data_key AS k
        WHERE k.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY k.customer_id");
    let (sql, ids) = (SELECT.text(db.dialect()), id_rows(ids));
    let rows: Vec<OwnedRow> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    let key = |row: OwnedRow| {
        let wrapped = Wrapped {
            key_id: row.key_id,
            bytes: row.wrapped_key,
        };
        let key = ring.unwrap(owner(&row.customer_id), &wrapped)?;
        Ok((row.customer_id, key))
    };
    rows.into_iter().map(key).collect()
}

fn wrap<'a>(
    ring: &KeyRing,
    keys: &'a DataKeys,
) -> Result<Vec<(&'a CustomerId, Wrapped)>, common::Error> {
    let wrap = |(id, key)| Ok((id, ring.wrap(owner(id), key)?));
    keys.iter().map(wrap).collect()
}

fn new_rows<'a>(wrapped: &'a [(&'a CustomerId, Wrapped)]) -> Vec<NewRow<'a>> {
    let row = |(id, wrapped): &'a (&'a CustomerId, Wrapped)| NewRow {
        customer_id: id.as_str(),
        key_id: &wrapped.key_id,
        wrapped_key: Hex(&wrapped.bytes),
    };
    wrapped.iter().map(row).collect()
}

fn owner(id: &CustomerId) -> Owner<'_> {
    Owner {
        table: "data_key",
        id: id.as_str(),
    }
}
