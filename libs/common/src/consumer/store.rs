//! The consumer's SQL: lease, checkpoint, parked events, revisions seen.

use super::Event;
use crate::db::{Access, Sql, Tx};
use crate::error::Error;
use crate::ids::CustomerId;
use crate::on;
use crate::time::Timestamp;
use crate::token::ConsistencyToken;

/// A consumer as it is stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Stored {
    pub position: String,
    pub lag_events: i64,
    pub owner: String,
    pub epoch: i64,
    pub parked_events: i64,
}

/// The right to apply events, as long as the stored epoch is this one.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub consumer: String,
    pub epoch: i64,
    /// Everything up to here is applied.
    pub position: String,
}

/// Takes or renews the lease if nobody else holds it: `None` if somebody does.
pub(super) async fn acquire(
    tx: &mut Tx,
    consumer: &str,
    source: &str,
    owner: &str,
    lease_micros: i64,
) -> Result<Option<Lease>, Error> {
    const INSERT: &str = "
        INSERT INTO consumer (name, source, position, lag_events, owner, epoch, expires_at)
        VALUES ($1, $2, '', 0, '', 0, 0)
        ON CONFLICT (name) DO NOTHING";
    // Only the database's clock decides: the replicas' clocks may differ. The owner keeps its epoch.
    const ACQUIRE: Sql = Sql {
        postgres: "
            UPDATE consumer
            SET epoch = CASE WHEN owner = $2 THEN epoch ELSE epoch + 1 END,
                owner = $2,
                expires_at = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $3
            WHERE name = $1
                AND (owner = $2
                    OR expires_at < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))
            RETURNING epoch, position",
        sqlite: "
            UPDATE consumer
            SET epoch = CASE WHEN owner = $2 THEN epoch ELSE epoch + 1 END,
                owner = $2,
                expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + $3
            WHERE name = $1
                AND (owner = $2 OR expires_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER))
            RETURNING epoch, position",
    };
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(consumer)
        .bind(source)
        .execute(conn)
        .await
        .map(drop))?;
    let acquire = ACQUIRE.text(tx.dialect());
    let row: Option<(i64, String)> = on!(tx, |conn| {
        sqlx::query_as(acquire)
            .bind(consumer)
            .bind(owner)
            .bind(lease_micros)
            .fetch_optional(conn)
            .await
    })?;
    Ok(row.map(|(epoch, position)| Lease {
        consumer: consumer.to_owned(),
        epoch,
        position,
    }))
}

/// Gives the lease up at once, so that another replica need not wait for it to expire.
pub(super) async fn release(tx: &mut Tx, lease: &Lease) -> Result<(), Error> {
    const UPDATE: &str =
        "UPDATE consumer SET owner = '', expires_at = 0 WHERE name = $1 AND epoch = $2";
    on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(&lease.consumer)
            .bind(lease.epoch)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Moves the checkpoint if the lease still holds and nobody moved it: otherwise false, and the
/// transaction must not commit. Being the first statement, it serialises competitors.
pub(super) async fn advance(
    tx: &mut Tx,
    lease: &Lease,
    position: &str,
    lag_events: i64,
) -> Result<bool, Error> {
    const UPDATE: &str = "
        UPDATE consumer
        SET position = $4, lag_events = $5
        WHERE name = $1 AND epoch = $2 AND position = $3";
    let moved = on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(&lease.consumer)
            .bind(lease.epoch)
            .bind(&lease.position)
            .bind(position)
            .bind(lag_events)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(moved == 1)
}

/// The consumer's state; `None` before it first ran.
pub(super) async fn find(db: &mut impl Access, consumer: &str) -> Result<Option<Stored>, Error> {
    const SELECT: &str = "
        SELECT position, lag_events, owner, epoch,
            (SELECT COUNT(*) FROM parked_event WHERE consumer = $1) AS parked_events
        FROM consumer
        WHERE name = $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(consumer)
        .fetch_optional(conn)
        .await)?)
}

/// Remembers the newest revision of each customer that is applied.
pub(super) async fn upsert_seen(
    tx: &mut Tx,
    source: &str,
    revisions: &[(&CustomerId, i64)],
) -> Result<(), Error> {
    const UPSERT: Sql = Sql {
        postgres: "
            INSERT INTO seen (source, customer_id, revision)
            SELECT $1, entry ->> 0, CAST(entry ->> 1 AS BIGINT)
            FROM json_array_elements(CAST($2 AS json)) AS entry
            WHERE TRUE
            ON CONFLICT (source, customer_id) DO UPDATE
            SET revision = excluded.revision
            WHERE seen.revision < excluded.revision",
        sqlite: "
            INSERT INTO seen (source, customer_id, revision)
            SELECT $1, json_extract(value, '$[0]'), json_extract(value, '$[1]')
            FROM json_each($2)
            WHERE TRUE
            ON CONFLICT (source, customer_id) DO UPDATE
            SET revision = excluded.revision
            WHERE seen.revision < excluded.revision",
    };
    let entries: Vec<_> = revisions
        .iter()
        .map(|(customer, revision)| (customer.as_str(), revision))
        .collect();
    let entries = crate::db::json_list(&entries);
    let upsert = UPSERT.text(tx.dialect());
    on!(tx, |conn| sqlx::query(upsert)
        .bind(source)
        .bind(&entries)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// The newest revision of the token's customer that this database has applied.
pub(crate) async fn seen_revision(
    db: &mut impl Access,
    token: &ConsistencyToken,
) -> Result<Option<i64>, Error> {
    const SELECT: &str = "SELECT revision FROM seen WHERE source = $1 AND customer_id = $2";
    Ok(on!(db, |conn| {
        sqlx::query_scalar(SELECT)
            .bind(&token.source)
            .bind(&token.customer_id)
            .fetch_optional(conn)
            .await
    })?)
}

/// An event set aside.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Parked {
    position: String,
    event_id: String,
    customer_id: CustomerId,
    revision: i64,
    recorded_at: Timestamp,
    type_url: String,
    payload: Vec<u8>,
    traceparent: String,
    pub failure: String,
    pub attempts: i64,
    #[sqlx(rename = "parked_at")]
    pub since: Timestamp,
}

impl Parked {
    pub fn event(&self) -> Event {
        Event {
            position: self.position.clone(),
            event_id: self.event_id.clone(),
            customer_id: self.customer_id.clone(),
            revision: self.revision,
            recorded_at: self.recorded_at,
            payload: prost_types::Any {
                type_url: self.type_url.clone(),
                value: self.payload.clone(),
            },
            traceparent: self.traceparent.clone(),
        }
    }
}

pub(super) async fn insert_parked(
    tx: &mut Tx,
    consumer: &str,
    event: &Event,
    failure: &str,
    attempts: u32,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO parked_event
            (consumer, event_id, position, customer_id, revision, recorded_at, type_url, payload,
            traceparent, failure, attempts, parked_at, replay)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, FALSE)
        ON CONFLICT (consumer, event_id) DO NOTHING";
    let now = tx.now();
    on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(consumer)
            .bind(&event.event_id)
            .bind(&event.position)
            .bind(&event.customer_id)
            .bind(event.revision)
            .bind(event.recorded_at)
            .bind(&event.payload.type_url)
            .bind(&event.payload.value)
            .bind(&event.traceparent)
            .bind(failure)
            .bind(i64::from(attempts))
            .bind(now)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Parked events, oldest first, after a key.
pub(super) async fn list_parked(
    db: &mut impl Access,
    consumer: &str,
    after: (Timestamp, String),
    limit: i64,
) -> Result<Vec<Parked>, Error> {
    const SELECT: &str = "
        SELECT position, event_id, customer_id, revision, recorded_at, type_url, payload, traceparent,
            failure, attempts, parked_at
        FROM parked_event
        WHERE consumer = $1 AND (parked_at, event_id) > ($2, $3)
        ORDER BY parked_at, event_id
        LIMIT $4";
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(consumer)
            .bind(after.0)
            .bind(&after.1)
            .bind(limit)
            .fetch_all(conn)
            .await
    })?)
}

/// The oldest parked event whose replay was asked for.
pub(super) async fn find_replay(
    db: &mut impl Access,
    consumer: &str,
) -> Result<Option<Parked>, Error> {
    const SELECT: &str = "
        SELECT position, event_id, customer_id, revision, recorded_at, type_url, payload, traceparent,
            failure, attempts, parked_at
        FROM parked_event
        WHERE consumer = $1 AND replay
        ORDER BY parked_at, event_id
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(consumer)
        .fetch_optional(conn)
        .await)?)
}

/// Asks for a replay; false if the event is not parked.
pub(super) async fn update_replay(
    tx: &mut Tx,
    consumer: &str,
    event_id: &str,
) -> Result<bool, Error> {
    const UPDATE: &str =
        "UPDATE parked_event SET replay = TRUE WHERE consumer = $1 AND event_id = $2";
    let updated = on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(consumer)
            .bind(event_id)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(updated == 1)
}

/// Notes that a replay failed.
pub(super) async fn update_failure(
    tx: &mut Tx,
    consumer: &str,
    event_id: &str,
    failure: &str,
) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE parked_event
        SET replay = FALSE, failure = $3, attempts = attempts + 1
        WHERE consumer = $1 AND event_id = $2";
    on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(consumer)
            .bind(event_id)
            .bind(failure)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Drops a parked event; false if it is not parked.
pub(super) async fn delete_parked(
    tx: &mut Tx,
    consumer: &str,
    event_id: &str,
) -> Result<bool, Error> {
    const DELETE: &str = "DELETE FROM parked_event WHERE consumer = $1 AND event_id = $2";
    let deleted = on!(tx, |conn| {
        sqlx::query(DELETE)
            .bind(consumer)
            .bind(event_id)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(deleted == 1)
}
