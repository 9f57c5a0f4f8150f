//! Interactions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use common::db::{Access, Hex, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::sealing::{KeyRing, Place};
use common::time::Timestamp;
use serde::Serialize;

use super::customer_row::stored_id;
use super::data_keys::{self, DataKeys, KeyRow};
use super::{Stretch, execute, json, rows};
use crate::domain::{Channel, Interaction, Key};
use crate::error::Error;

#[derive(sqlx::FromRow)]
struct Row {
    customer_id: String,
    interaction_id: String,
    source: String,
    external_id: String,
    channel: Channel,
    kind: String,
    subject: String,
    occurred_at: i64,
    recorded_at: i64,
    subject_sealed: Option<Vec<u8>>,
    #[sqlx(flatten)]
    key: KeyRow,
}

#[derive(Serialize)]
struct NewRow<'a> {
    customer_id: &'a str,
    interaction_id: &'a str,
    source: &'a str,
    external_id: &'a str,
    channel: Channel,
    kind: &'a str,
    subject: &'a str,
    subject_sealed: Option<Hex<'a>>,
    occurred_at: i64,
    recorded_at: i64,
}

macro_rules! select {
    ($from:expr) => {
        concat!(
            "SELECT i.customer_id, i.interaction_id, i.source, i.external_id, i.channel, i.kind, i.subject,
                i.occurred_at, i.recorded_at, i.subject_sealed, k.key_id, k.wrapped_key ",
            $from
        )
    };
}

/// The interactions recorded under the keys.
pub async fn find_by_keys(
    db: &mut impl Access,
    ring: &KeyRing,
    keys: &[&Key],
) -> Result<Vec<Interaction>, Error> {
    const SELECT: Sql = rows!([source text, external_id text] select!(
        "FROM r
        JOIN interaction AS i ON i.source = r.source AND i.external_id = r.external_id
        LEFT JOIN data_key AS k ON k.customer_id = i.customer_id
        ORDER BY i.source, i.external_id"));
    let (sql, keys) = (SELECT.text(db.dialect()), json(&keys));
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(sql)
        .bind(&keys)
        .fetch_all(conn)
        .await)?;
    open(ring, rows)
}

/// A stretch of a customer's interactions.
pub async fn list(
    db: &mut impl Access,
    ring: &KeyRing,
    stretch: Stretch<'_>,
) -> Result<Vec<Interaction>, Error> {
    const SELECT: &str = select!(
        "FROM interaction AS i
        LEFT JOIN data_key AS k ON k.customer_id = i.customer_id
        WHERE i.customer_id = $1 AND i.occurred_at <= $2 AND (i.occurred_at, i.interaction_id) < ($3, $4)
        ORDER BY i.occurred_at DESC, i.interaction_id DESC
        LIMIT $5");
    let Stretch {
        customer_id,
        as_of,
        before,
        limit,
    } = stretch;
    let rows: Vec<Row> = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .bind(before.0)
        .bind(before.1)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    open(ring, rows)
}

/// Inserts new interactions of locked customers; returns how many: fewer when another writer took a key since we looked.
pub async fn insert(
    tx: &mut Tx,
    ring: &KeyRing,
    interactions: &[&Interaction],
) -> Result<u64, Error> {
    const INSERT: Sql = rows!(
        [customer_id text, interaction_id text, source text, external_id text, channel text, kind text,
            subject text, subject_sealed hex, occurred_at bigint, recorded_at bigint]
        "INSERT INTO interaction (customer_id, interaction_id, source, external_id, channel, kind, subject,
            subject_sealed, occurred_at, recorded_at)
        SELECT customer_id, interaction_id, source, external_id, channel, kind, subject, subject_sealed, occurred_at, recorded_at
        FROM r
        WHERE TRUE
        ON CONFLICT (source, external_id) DO NOTHING");
    let sealed: Vec<_> = if ring.seals() {
        let ids = interactions.iter().map(|of| of.customer_id.clone());
        let keys = data_keys::get_or_insert(tx, ring, &ids.collect()).await?;
        let seal = |of: &&Interaction| seal(&keys, &of.customer_id, &of.id, &of.subject).map(Some);
        interactions.iter().map(seal).collect::<Result<_, _>>()?
    } else {
        vec![None; interactions.len()]
    };
    let mut rows: Vec<_> = interactions
        .iter()
        .zip(&sealed)
        .map(|(interaction, subject)| NewRow {
            customer_id: interaction.customer_id.as_str(),
            interaction_id: &interaction.id,
            source: &interaction.key.source,
            external_id: &interaction.key.external_id,
            channel: interaction.channel,
            kind: &interaction.kind,
            subject: match subject {
                Some(_) => "",
                None => &interaction.subject,
            },
            subject_sealed: subject.as_deref().map(Hex),
            occurred_at: interaction.occurred_at.micros(),
            recorded_at: interaction.recorded_at.micros(),
        })
        .collect();
    // As for purchases: unique keys are waited for in one order.
    rows.sort_by(|a, b| (a.source, a.external_id).cmp(&(b.source, b.external_id)));
    Ok(execute(tx, INSERT, &rows).await?)
}

/// Interactions after one whose subject is in the clear: customer and id.
pub async fn list_plain(
    db: &mut impl Access,
    after: &(String, String),
    limit: i64,
) -> Result<Vec<(CustomerId, String)>, Error> {
    const SELECT: &str = "
        SELECT customer_id, interaction_id
        FROM interaction
        WHERE subject_sealed IS NULL AND (customer_id, interaction_id) > ($1, $2)
        ORDER BY customer_id, interaction_id
        LIMIT $3";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(&after.0)
        .bind(&after.1)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// How many subjects are in the clear.
pub async fn count_plain(db: &mut impl Access) -> Result<i64, Error> {
    const SELECT: &str = "SELECT COUNT(*) FROM interaction WHERE subject_sealed IS NULL";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)?)
}

/// Seals the subjects of interactions of locked customers that are in the clear.
pub async fn seal_plain<'a>(
    tx: &mut Tx,
    ring: &KeyRing,
    plain: impl Iterator<Item = &'a (CustomerId, String)>,
) -> Result<(), Error> {
    const SELECT: Sql = rows!([customer_id text, interaction_id text]
        "SELECT i.customer_id, i.interaction_id, i.subject
        FROM r
        JOIN interaction AS i ON i.customer_id = r.customer_id AND i.interaction_id = r.interaction_id
        WHERE i.subject_sealed IS NULL
        ORDER BY i.customer_id, i.interaction_id");
    const UPDATE: Sql = rows!([customer_id text, interaction_id text, subject hex]
        "UPDATE interaction
        SET subject = '', subject_sealed = r.subject
        FROM r
        WHERE interaction.customer_id = r.customer_id AND interaction.interaction_id = r.interaction_id");
    #[derive(Serialize)]
    struct Wanted<'a> {
        customer_id: &'a str,
        interaction_id: &'a str,
    }
    #[derive(Serialize)]
    struct Sealed<'a> {
        customer_id: &'a str,
        interaction_id: &'a str,
        subject: Hex<'a>,
    }
    let wanted: Vec<_> = plain
        .map(|(customer_id, interaction_id)| Wanted {
            customer_id: customer_id.as_str(),
            interaction_id,
        })
        .collect();
    let (sql, wanted) = (SELECT.text(tx.dialect()), json(&wanted));
    let rows: Vec<(CustomerId, String, String)> = on!(tx, |conn| sqlx::query_as(sql)
        .bind(&wanted)
        .fetch_all(conn)
        .await)?;
    let ids: BTreeSet<_> = rows.iter().map(|(id, ..)| id.clone()).collect();
    let keys = data_keys::get_or_insert(tx, ring, &ids).await?;
    let sealed = rows
        .iter()
        .map(|(customer_id, id, subject)| seal(&keys, customer_id, id, subject));
    let sealed: Vec<_> = sealed.collect::<Result<_, _>>()?;
    let rows: Vec<_> = rows
        .iter()
        .zip(&sealed)
        .map(|((customer_id, interaction_id, _), subject)| Sealed {
            customer_id: customer_id.as_str(),
            interaction_id,
            subject: Hex(subject),
        })
        .collect();
    execute(tx, UPDATE, &rows).await?;
    Ok(())
}

/// Opens the subjects, each customer's key once.
fn open(ring: &KeyRing, rows: Vec<Row>) -> Result<Vec<Interaction>, Error> {
    let mut keys = BTreeMap::new();
    let mut interactions = Vec::with_capacity(rows.len());
    for row in rows {
        let customer_id = stored_id(&row.customer_id)?;
        let subject = match row.subject_sealed {
            None => row.subject,
            Some(sealed) => {
                let key = match keys.entry(customer_id.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(row.key.data_key(ring, &customer_id)?),
                };
                key.open(place(&row.interaction_id), &sealed)?
            }
        };
        interactions.push(Interaction {
            id: row.interaction_id,
            customer_id,
            key: Key {
                source: row.source,
                external_id: row.external_id,
            },
            channel: row.channel,
            kind: row.kind,
            subject,
            occurred_at: Timestamp::from_micros(row.occurred_at),
            recorded_at: Timestamp::from_micros(row.recorded_at),
        });
    }
    Ok(interactions)
}

fn seal(
    keys: &DataKeys,
    customer_id: &CustomerId,
    interaction_id: &str,
    subject: &str,
) -> Result<Vec<u8>, common::Error> {
    let key = keys
        .get(customer_id)
        .expect("each of them was found or made");
    key.seal(place(interaction_id), subject)
}

fn place(interaction_id: &str) -> Place<'_> {
    Place {
        table: "interaction",
        column: "subject",
        row: interaction_id,
    }
}
