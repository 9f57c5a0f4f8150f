//! Customers, their personal data and their external ids.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::{execute, json, rows};
use crate::domain::{Customer, Gender, Key, Personal, Profile};
use crate::error::Error;

/// A customer's columns in `customer` and `personal_data`.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct Row {
    customer_id: String,
    revision: i64,
    profile_revision: i64,
    created_at: i64,
    updated_at: i64,
    changed_at: i64,
    industry: String,
    source: String,
    tags: String,
    attributes: String,
    display_name: String,
    given_name: String,
    family_name: String,
    contacts: String,
    address: String,
    birth_date: Option<String>,
    gender: Gender,
}

#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
struct ExternalIdRow {
    source: String,
    external_id: String,
    customer_id: String,
}

macro_rules! select {
    ($from:expr) => {
        concat!(
            "SELECT c.customer_id, c.revision, c.profile_revision, c.created_at, c.updated_at, c.changed_at,
                c.industry, c.source, c.tags, c.attributes, p.display_name, p.given_name, p.family_name,
                p.contacts, p.address, p.birth_date, p.gender ",
            $from
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
    ids: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<CustomerId, Customer>, Error> {
    const SELECT: Sql = rows!([customer_id text] select!(
        "FROM customer AS c
        JOIN personal_data AS p ON p.customer_id = c.customer_id
        WHERE c.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY c.customer_id"));
    let (sql, list) = (SELECT.text(db.dialect()), id_rows(ids));
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&list)
        .fetch_all(conn)
        .await)?;
    let customers = with_external_ids(db, rows).await?;
    Ok(customers
        .into_iter()
        .map(|customer| (customer.id.clone(), customer))
        .collect())
}

/// One customer.
pub async fn find(db: &mut impl Access, id: &CustomerId) -> Result<Option<Customer>, Error> {
    Ok(load(db, &BTreeSet::from([id.clone()])).await?.remove(id))
}

/// Customers after an id, ordered by id.
pub async fn list(db: &mut impl Access, after: &str, limit: i64) -> Result<Vec<Customer>, Error> {
    const SELECT: &str = select!(
        "FROM customer AS c
        JOIN personal_data AS p ON p.customer_id = c.customer_id
        WHERE c.customer_id > $1
        ORDER BY c.customer_id
        LIMIT $2"
    );
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    with_external_ids(db, rows).await
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
pub async fn insert(tx: &mut Tx, customers: &[&Customer]) -> Result<(), Error> {
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
    const PERSONAL: Sql = rows!(
        [customer_id text, display_name text, given_name text, family_name text, contacts text,
            address text, birth_date text, gender text]
        "INSERT INTO personal_data (customer_id, display_name, given_name, family_name, contacts, address,
            birth_date, gender)
        SELECT customer_id, display_name, given_name, family_name, contacts, address, birth_date, gender
        FROM r");
    if customers.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<_> = customers
        .iter()
        .map(|customer| Row::from(*customer))
        .collect();
    // Like the locks: unique keys are waited for in one order.
    rows.sort_by(|a, b| a.customer_id.cmp(&b.customer_id));
    if execute(tx, CUSTOMERS, &rows).await? != customers.len() as u64 {
        return Err(Error::KeyRaced);
    }
    execute(tx, PERSONAL, &rows).await?;
    insert_external_ids(tx, customers).await
}

/// Writes the state of locked customers; `KeyRaced` as for `insert`.
pub async fn update(tx: &mut Tx, customers: &[&Customer]) -> Result<(), Error> {
    const CUSTOMERS: Sql = rows!(
        [customer_id text, revision bigint, profile_revision bigint, updated_at bigint,
            changed_at bigint, industry text, source text, tags text, attributes text]
        "UPDATE customer
        SET revision = r.revision, profile_revision = r.profile_revision, updated_at = r.updated_at,
            changed_at = r.changed_at, industry = r.industry, source = r.source, tags = r.tags,
            attributes = r.attributes
        FROM r
        WHERE customer.customer_id = r.customer_id");
    const PERSONAL: Sql = rows!(
        [customer_id text, display_name text, given_name text, family_name text, contacts text,
            address text, birth_date text, gender text]
        "UPDATE personal_data
        SET display_name = r.display_name, given_name = r.given_name, family_name = r.family_name,
            contacts = r.contacts, address = r.address, birth_date = r.birth_date, gender = r.gender
        FROM r
        WHERE personal_data.customer_id = r.customer_id");
    const CLEAR: Sql = rows!([customer_id text]
        "DELETE FROM external_id
        WHERE external_id.customer_id IN (SELECT r.customer_id FROM r)");
    if customers.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = customers
        .iter()
        .map(|customer| Row::from(*customer))
        .collect();
    execute(tx, CUSTOMERS, &rows).await?;
    execute(tx, PERSONAL, &rows).await?;
    execute(tx, CLEAR, &rows).await?;
    insert_external_ids(tx, customers).await
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

/// Deletes a customer with everything that hangs on it.
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

async fn insert_external_ids(tx: &mut Tx, customers: &[&Customer]) -> Result<(), Error> {
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

async fn with_external_ids(db: &mut impl Access, rows: Vec<Row>) -> Result<Vec<Customer>, Error> {
    const SELECT: Sql = rows!([customer_id text]
        "SELECT e.source, e.external_id, e.customer_id
        FROM external_id AS e
        WHERE e.customer_id IN (SELECT r.customer_id FROM r)
        ORDER BY e.customer_id, e.source");
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = rows
        .iter()
        .map(|row| BTreeMap::from([("customer_id", &row.customer_id)]))
        .collect();
    let (sql, ids) = (SELECT.text(db.dialect()), json(&ids));
    let found: Vec<ExternalIdRow> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&ids)
        .fetch_all(conn)
        .await)?;
    let mut external_ids: HashMap<String, BTreeMap<String, String>> = HashMap::new();
    for row in found {
        external_ids
            .entry(row.customer_id)
            .or_default()
            .insert(row.source, row.external_id);
    }
    rows.into_iter()
        .map(|row| {
            let external_ids = external_ids.remove(&row.customer_id).unwrap_or_default();
            row.customer(external_ids)
        })
        .collect()
}

fn id_rows(ids: &BTreeSet<CustomerId>) -> String {
    let ids: Vec<_> = ids
        .iter()
        .map(|id| BTreeMap::from([("customer_id", id.as_str())]))
        .collect();
    json(&ids)
}

/// An id that was checked before it was stored.
pub(super) fn stored_id(text: &str) -> Result<CustomerId, Error> {
    CustomerId::parse(text).map_err(|_| corrupt("customer_id", text))
}

pub(super) fn corrupt(column: &str, value: &str) -> Error {
    common::Error::Internal(format!("column {column} holds {value:?}")).into()
}

impl From<&Customer> for Row {
    fn from(customer: &Customer) -> Self {
        let Profile {
            personal,
            industry,
            source,
            tags,
            attributes,
            external_ids: _,
        } = &customer.profile;
        Self {
            customer_id: customer.id.to_string(),
            revision: customer.revision,
            profile_revision: customer.profile_revision,
            created_at: customer.created_at.micros(),
            updated_at: customer.updated_at.micros(),
            changed_at: customer.changed_at.micros(),
            industry: industry.clone(),
            source: source.clone(),
            tags: json(tags),
            attributes: json(attributes),
            display_name: personal.display_name.clone(),
            given_name: personal.given_name.clone(),
            family_name: personal.family_name.clone(),
            contacts: json(&personal.contacts),
            address: json(&personal.address),
            birth_date: personal.birth_date.map(|date| date.to_string()),
            gender: personal.gender,
        }
    }
}

impl Row {
    fn customer(self, external_ids: BTreeMap<String, String>) -> Result<Customer, Error> {
        fn parsed<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
            // The value may be personal: it stays out of the error.
            serde_json::from_str(text).map_err(|_| corrupt(column, "no JSON of its form"))
        }
        let birth_date = self
            .birth_date
            .map(|date| date.parse().map_err(|_| corrupt("birth_date", "no date")));
        Ok(Customer {
            id: stored_id(&self.customer_id)?,
            revision: self.revision,
            profile_revision: self.profile_revision,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            changed_at: Timestamp::from_micros(self.changed_at),
            profile: Profile {
                personal: Personal {
                    display_name: self.display_name,
                    given_name: self.given_name,
                    family_name: self.family_name,
                    contacts: parsed("contacts", &self.contacts)?,
                    address: parsed("address", &self.address)?,
                    birth_date: birth_date.transpose()?,
                    gender: self.gender,
                },
                industry: self.industry,
                source: self.source,
                tags: parsed("tags", &self.tags)?,
                attributes: parsed("attributes", &self.attributes)?,
                external_ids,
            },
        })
    }
}
