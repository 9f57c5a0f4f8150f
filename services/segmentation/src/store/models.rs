//! Rating models and their references.

use common::db::{Access, Sql, Tx};
use common::on;
use common::time::Timestamp;

use crate::domain::model::Definition;
use crate::domain::reference::QuantileTable;
use crate::error::{Error, stored_json, to_json};

/// A model as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ModelRow {
    /// Its id.
    pub model_id: String,
    /// Counts the models.
    pub version: i64,
    /// For people.
    pub display_name: String,
    /// JSON.
    definition: String,
    /// `draft`, `active` or `retired`.
    pub state: String,
    /// Its newest reference.
    pub reference_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it became active last.
    pub activated_at: Option<Timestamp>,
}

impl ModelRow {
    /// What it says.
    pub fn definition(&self) -> Result<Definition, Error> {
        stored_json(&self.definition)
    }
}

/// A reference as stored, with its tables.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ReferenceRow {
    /// Its id.
    pub reference_id: String,
    /// The model it is for.
    pub model_id: String,
    /// The moment it pictures.
    pub as_of: Timestamp,
    /// Customers in the base.
    pub customers: i64,
    /// JSON.
    pub tables: String,
    /// When it was built.
    pub built_at: Timestamp,
}

impl ReferenceRow {
    /// A quantile table for each indicator of the model.
    pub fn tables(&self) -> Result<Vec<QuantileTable>, Error> {
        stored_json(&self.tables)
    }
}

/// The model of an id; the active one for an empty id.
pub async fn get(db: &mut impl Access, model_id: &str) -> Result<ModelRow, Error> {
    const SELECT: &str = "
        SELECT model_id, version, display_name, definition, state, reference_id, created_at, activated_at
        FROM rating_models
        WHERE model_id = $1 OR ($1 = '' AND state = 'active')";
    let found: Option<ModelRow> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(model_id)
        .fetch_optional(conn)
        .await)?;
    found.ok_or_else(|| Error::RatingModelNotFound(model_id.to_owned()))
}

/// Ids of the active model and its newest reference, if it has one: the one statement that every purchase costs.
pub async fn find_current(db: &mut impl Access) -> Result<Option<(String, String)>, Error> {
    const SELECT: &str = "
        SELECT model_id, reference_id
        FROM rating_models
        WHERE state = 'active' AND reference_id IS NOT NULL";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_optional(conn)
        .await)?)
}

/// Makes the changes of models wait for one another.
pub async fn lock(tx: &mut Tx) -> Result<(), Error> {
    // SQLite's writer is alone already.
    const LOCK: Sql = Sql {
        postgres: "SELECT version FROM rating_models WHERE model_id = 'default' FOR UPDATE",
        sqlite: "SELECT version FROM rating_models WHERE model_id = 'default'",
    };
    let text = LOCK.text(tx.dialect());
    let _: i64 = on!(tx, |conn| sqlx::query_scalar(text).fetch_one(conn).await)?;
    Ok(())
}

/// A model to create.
pub struct NewModel {
    /// Its id.
    pub model_id: String,
    /// For people.
    pub display_name: String,
    /// What it says.
    pub definition: Definition,
}

/// Stores a draft under the next version; the caller holds the lock.
pub async fn insert(tx: &mut Tx, model: &NewModel) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO rating_models (model_id, version, display_name, definition, state, created_at)
        SELECT $1, MAX(version) + 1, $2, $3, 'draft', $4
        FROM rating_models";
    let (definition, now) = (to_json(&model.definition), tx.now());
    on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(&model.model_id)
            .bind(&model.display_name)
            .bind(definition)
            .bind(now)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Makes a model the active one; the caller holds the lock.
pub async fn activate(tx: &mut Tx, model_id: &str) -> Result<(), Error> {
    const RETIRE: &str = "UPDATE rating_models SET state = 'retired' WHERE state = 'active'";
    const ACTIVATE: &str =
        "UPDATE rating_models SET state = 'active', activated_at = $2 WHERE model_id = $1";
    let now = tx.now();
    on!(tx, |conn| sqlx::query(RETIRE).execute(conn).await.map(drop))?;
    on!(tx, |conn| sqlx::query(ACTIVATE)
        .bind(model_id)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// The reference of an id that a model or a rating names.
pub async fn get_reference(
    db: &mut impl Access,
    reference_id: &str,
) -> Result<ReferenceRow, Error> {
    const SELECT: &str = "
        SELECT reference_id, model_id, as_of, customers, tables, built_at
        FROM rating_references
        WHERE reference_id = $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(reference_id)
        .fetch_one(conn)
        .await)?)
}

/// Stores a reference as its model's newest.
pub async fn insert_reference(tx: &mut Tx, reference: &ReferenceRow) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO rating_references (reference_id, model_id, as_of, customers, tables, built_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    const POINT: &str = "UPDATE rating_models SET reference_id = $2 WHERE model_id = $1";
    on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(&reference.reference_id)
            .bind(&reference.model_id)
            .bind(reference.as_of)
            .bind(reference.customers)
            .bind(&reference.tables)
            .bind(reference.built_at)
            .execute(conn)
            .await
            .map(drop)
    })?;
    let ReferenceRow {
        reference_id,
        model_id,
        ..
    } = reference;
    on!(tx, |conn| sqlx::query(POINT)
        .bind(model_id)
        .bind(reference_id)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}
