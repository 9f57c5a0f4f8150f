//! Customers.

use std::collections::{BTreeMap, BTreeSet};

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::sealing::KeyRing;
use common::time::Timestamp;
use serde::Serialize;

use super::customer_row::{NewRow, Row, corrupt, stored_id};
use super::personal::{self, personal_columns};
use super::{execute, external_ids, id_rows, merges, rows};
use crate::domain::{Customer, Merged};
use crate::error::Error;

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT c.customer_id, c.revision, c.profile_revision, c.created_at, c.updated_at, c.changed_at,
                c.industry, c.source, c.tags, c.attributes, c.merged_into, ",
            personal_columns!(),
            " FROM customer AS c
                JOIN personal_data AS p ON p.customer_id = c.customer_id
                LEFT JOIN data_key AS k ON k.customer_id = c.customer_id ",
            $rest
        )
    };
}

/// Locks the customers that exist, in the order of their ids so that two batches never wait for each other;
/// returns their revisions. What is read after it is the latest.
pub async fn lock(
    tx: &mut Tx,
    ids: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<CustomerId, i64>, Error> {
    const SELECT: Sql = rows!([customer_id text]
        "SELECT c.customer_id, c.revision
        FROM customer AS c
        WHERE c.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY c.customer_id",
        lock: " FOR UPDATE OF c");
    let (sql, ids) = (SELECT.text(tx.dialect()), id_rows(ids));
    let locked: Vec<(CustomerId, i64)> = on!(tx, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    Ok(locked.into_iter().collect())
}

/// The customers that exist.
pub async fn load(
    db: &mut impl Access,
    ring: &KeyRing,
    ids: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<CustomerId, Customer>, Error> {
    const SELECT: Sql = rows!([customer_id text] select!(
        "WHERE c.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY c.customer_id"));
    let (sql, list) = (SELECT.text(db.dialect()), id_rows(ids));
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&list)
        .fetch_all(conn)
        .await)?;
    let customers = with_the_rest(db, ring, rows).await?;
    Ok(customers
        .into_iter()
        .map(|customer| (customer.id.clone(), customer))
        .collect())
}

/// One customer.
pub async fn find(
    db: &mut impl Access,
    ring: &KeyRing,
    id: &CustomerId,
) -> Result<Option<Customer>, Error> {
    let ids = BTreeSet::from([id.clone()]);
    Ok(load(db, ring, &ids).await?.remove(id))
}

/// What can be told of a customer without opening what is sealed.
#[derive(Debug)]
pub struct Standing {
    /// The last change.
    pub revision: i64,
    /// The last change of the profile.
    pub profile_revision: i64,
    /// Who stands for the customer, if not the customer.
    pub merged: Option<Merged>,
}

/// How one customer stands.
pub async fn find_standing(
    db: &mut impl Access,
    id: &CustomerId,
) -> Result<Option<Standing>, Error> {
    const SELECT: &str = "
        SELECT revision, profile_revision, merged_into
        FROM customer
        WHERE customer_id = $1";
    let row: Option<(i64, i64, Option<CustomerId>)> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(id)
        .fetch_optional(conn)
        .await)?;
    let Some((revision, profile_revision, into)) = row else {
        return Ok(None);
    };
    let merged = match into {
        None => None,
        Some(into) => {
            let survivors = merges::survivors(db, &BTreeSet::from([id.clone()])).await?;
            let survivor = survivors.get(id).cloned();
            let survivor = survivor.ok_or_else(|| corrupt("merged_into", into.as_str()))?;
            Some(Merged { into, survivor })
        }
    };
    Ok(Some(Standing {
        revision,
        profile_revision,
        merged,
    }))
}

/// Customers after an id, ordered by id. One that cannot be opened fails the whole list: it would look complete without.
pub async fn list(
    db: &mut impl Access,
    ring: &KeyRing,
    after: &str,
    limit: i64,
) -> Result<Vec<Customer>, Error> {
    const SELECT: &str = select!(
        "WHERE c.customer_id > $1
        ORDER BY c.customer_id
        LIMIT $2"
    );
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    with_the_rest(db, ring, rows).await
}

/// Those of the ids that belonged to customers who were deleted.
pub async fn retired(
    db: &mut impl Access,
    ids: &BTreeSet<CustomerId>,
) -> Result<BTreeSet<CustomerId>, Error> {
    const SELECT: Sql = rows!([customer_id text]
        "SELECT t.customer_id
        FROM retired_customer AS t
        WHERE t.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY t.customer_id");
    let (sql, ids) = (SELECT.text(db.dialect()), id_rows(ids));
    let rows: Vec<(CustomerId,)> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Inserts new customers. Another writer may have taken an id or external id since we looked: that is
/// `KeyRaced`, and the transaction must not be committed.
pub async fn insert(tx: &mut Tx, ring: &KeyRing, customers: &[&Customer]) -> Result<(), Error> {
    const CUSTOMERS: Sql = rows!(
        [customer_id text, revision bigint, profile_revision bigint, created_at bigint, updated_at bigint,
            changed_at bigint, industry text, source text, tags text, attributes text]
        "INSERT INTO customer (customer_id, revision, profile_revision, created_at, updated_at, changed_at,
            industry, source, tags, attributes)
        SELECT customer_id, revision, profile_revision, created_at, updated_at, changed_at,
            industry, source, tags, attributes
        FROM r
        WHERE TRUE
        ON CONFLICT (customer_id) DO NOTHING");
    if customers.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<_> = customers
        .iter()
        .map(|customer| NewRow::from(*customer))
        .collect();
    // Like the locks: unique keys are waited for in one order.
    rows.sort_by(|a, b| a.customer_id.cmp(&b.customer_id));
    if execute(tx, CUSTOMERS, &rows).await? != customers.len() as u64 {
        return Err(Error::KeyRaced);
    }
    personal::insert(tx, ring, &personal_of(customers)).await?;
    external_ids::insert(tx, customers).await
}

/// Writes the state of locked customers; `KeyRaced` as for `insert`.
pub async fn update(tx: &mut Tx, ring: &KeyRing, customers: &[&Customer]) -> Result<(), Error> {
    const CUSTOMERS: Sql = rows!(
        [customer_id text, revision bigint, profile_revision bigint, updated_at bigint,
            changed_at bigint, industry text, source text, tags text, attributes text]
        "UPDATE customer
        SET revision = r.revision, profile_revision = r.profile_revision, updated_at = r.updated_at,
            changed_at = r.changed_at, industry = r.industry, source = r.source, tags = r.tags,
            attributes = r.attributes
        FROM r
        WHERE customer.customer_id = r.customer_id");
    const CLEAR: Sql = rows!([customer_id text]
        "DELETE FROM external_id
        WHERE external_id.customer_id IN (SELECT r.customer_id FROM r)");
    if customers.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = customers
        .iter()
        .map(|customer| NewRow::from(*customer))
        .collect();
    execute(tx, CUSTOMERS, &rows).await?;
    personal::update(tx, ring, &personal_of(customers)).await?;
    execute(tx, CLEAR, &rows).await?;
    external_ids::insert(tx, customers).await
}

/// Writes the revisions of locked customers.
pub async fn update_revisions(
    tx: &mut Tx,
    revisions: &[(&CustomerId, i64)],
    now: Timestamp,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct RevisionRow {
        customer_id: String,
        revision: i64,
        changed_at: i64,
    }
    const UPDATE: Sql = rows!([customer_id text, revision bigint, changed_at bigint]
        "UPDATE customer
        SET revision = r.revision, changed_at = r.changed_at
        FROM r
        WHERE customer.customer_id = r.customer_id");
    let row = |(id, revision): &(&'_ CustomerId, i64)| RevisionRow {
        customer_id: id.to_string(),
        revision: *revision,
        changed_at: now.micros(),
    };
    let rows: Vec<_> = revisions.iter().map(row).collect();
    execute(tx, UPDATE, &rows).await?;
    Ok(())
}

/// Deletes a customer with everything that hangs on it, first of all the data key: what a copy of the rest holds stays sealed
/// for good.
pub async fn delete(tx: &mut Tx, id: &CustomerId) -> Result<(), Error> {
    const DELETE: &str = "DELETE FROM customer WHERE customer_id = $1";
    on!(tx, |conn| sqlx::query(DELETE)
        .bind(id)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Retires the id of a deleted customer.
pub async fn retire(
    tx: &mut Tx,
    id: &CustomerId,
    revision: i64,
    now: Timestamp,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO retired_customer (customer_id, revision, deleted_at) VALUES ($1, $2, $3)";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(id)
        .bind(revision)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

fn personal_of<'a>(customers: &[&'a Customer]) -> Vec<personal::Of<'a>> {
    let of = |customer: &&'a Customer| (&customer.id, &customer.profile.personal);
    customers.iter().map(of).collect()
}

async fn with_the_rest(
    db: &mut impl Access,
    ring: &KeyRing,
    rows: Vec<Row>,
) -> Result<Vec<Customer>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = rows.iter().map(|row| row.customer_id.as_str()).collect();
    let mut found = external_ids::by_customer(db, &ids).await?;
    let merged = rows.iter().filter(|row| row.merged_into.is_some());
    let merged = merged.map(|row| stored_id(&row.customer_id));
    let survivors = merges::survivors(db, &merged.collect::<Result<_, _>>()?).await?;
    let customer = |row: Row| {
        let external_ids = found.remove(&row.customer_id).unwrap_or_default();
        row.customer(ring, external_ids, &survivors)
    };
    rows.into_iter().map(customer).collect()
}
