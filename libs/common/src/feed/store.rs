//! The feed's SQL: append in the writing transaction, sequence, read, compact.

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use crate::db::{Access, Conn, Dialect, Hex, Pending, Sql, Tx, json_rows};
use crate::error::Error;
use crate::on;
use crate::time::Timestamp;

/// Once a page holds this much it takes no further change: clients refuse messages above 4 MiB by
/// default, and the largest change has a little more than 1 MiB.
const PAYLOAD_BYTES_MAX: i64 = 2 << 20;

/// A change as it is stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Stored {
    pub position: i64,
    pub event_id: String,
    pub customer_id: String,
    pub revision: i64,
    pub recorded_at: Timestamp,
    pub type_url: String,
    pub payload: Vec<u8>,
    pub traceparent: String,
}

/// Where the feed ends and begins.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Head {
    pub epoch: String,
    pub position: i64,
    pub floor: i64,
}

/// Appends a transaction's events: to the outbox on PostgreSQL, straight to the feed on SQLite, whose
/// single writer assigns positions in the order of commits.
pub(crate) async fn append(tx: &mut Tx, events: &[Pending]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    match tx.conn() {
        Conn::Postgres(conn) => append_to_outbox(conn, events).await?,
        Conn::Sqlite(conn) => append_to_feed(conn, events).await?,
    }
    Ok(())
}

async fn append_to_outbox(conn: &mut PgConnection, events: &[Pending]) -> Result<(), sqlx::Error> {
    // The order within the statement is the order of emission; seq is drawn after the sort.
    const INSERT: &str = "
        INSERT INTO outbox
            (event_id, customer_id, revision, recorded_at, type_url, payload, traceparent)
        SELECT event_id, customer_id, revision, recorded_at, type_url, payload, traceparent
        FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::BYTEA[], $7::TEXT[])
            WITH ORDINALITY
            AS event (event_id, customer_id, revision, recorded_at, type_url, payload, traceparent, place)
        ORDER BY place";
    fn column<T>(events: &[Pending], field: impl Fn(&Pending) -> T) -> Vec<T> {
        events.iter().map(field).collect()
    }
    sqlx::query(INSERT)
        .bind(column(events, |e| e.event_id.clone()))
        .bind(column(events, |e| e.customer_id.as_str().to_owned()))
        .bind(column(events, |e| e.revision))
        .bind(column(events, |e| e.recorded_at.micros()))
        .bind(column(events, |e| e.type_url.clone()))
        .bind(column(events, |e| e.payload.clone()))
        .bind(column(events, |e| e.traceparent.clone()))
        .execute(conn)
        .await?;
    Ok(())
}

async fn append_to_feed(
    conn: &mut SqliteConnection,
    events: &[Pending],
) -> Result<(), sqlx::Error> {
    const ADVANCE: &str =
        "UPDATE feed_head SET position = position + $1 WHERE part = 0 RETURNING position";
    const INSERT: &str = "
        INSERT INTO feed
            (position, event_id, customer_id, revision, recorded_at, type_url, payload, traceparent)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
               unhex(value ->> 6), value ->> 7
        FROM jsonb_each($1)";
    #[derive(Serialize)]
    struct Row<'a> {
        position: i64,
        event_id: &'a str,
        customer_id: &'a str,
        revision: i64,
        recorded_at: i64,
        type_url: &'a str,
        payload: Hex<'a>,
        traceparent: &'a str,
    }
    let count = i64::try_from(events.len()).expect("a transaction holds fewer than 2^63 events");
    let last: i64 = sqlx::query_scalar(ADVANCE)
        .bind(count)
        .fetch_one(&mut *conn)
        .await?;
    let rows: Vec<_> = (last - count + 1..)
        .zip(events)
        .map(|(position, event)| Row {
            position,
            event_id: &event.event_id,
            customer_id: event.customer_id.as_str(),
            revision: event.revision,
            recorded_at: event.recorded_at.micros(),
            type_url: &event.type_url,
            payload: Hex(&event.payload),
            traceparent: &event.traceparent,
        })
        .collect();
    sqlx::query(INSERT)
        .bind(json_rows(Dialect::Sqlite, &rows))
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// Makes the head row of a new database.
pub(crate) async fn insert_head(tx: &mut Tx, epoch: &str) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO feed_head (part, epoch, position, floor) VALUES (0, $1, 0, 0)
        ON CONFLICT (part) DO NOTHING";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(epoch)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// Starts a new life of the feed: every position handed out before is refused from now on. Remembers where the
/// old one ended, so that its readers can be told from where on they differ.
pub(crate) async fn renew_epoch(tx: &mut Tx, epoch: &str) -> Result<Head, Error> {
    const LOCK: Sql = Sql {
        postgres: "SELECT epoch, position, floor FROM feed_head WHERE part = 0 FOR UPDATE",
        sqlite: "SELECT epoch, position, floor FROM feed_head WHERE part = 0",
    };
    const END: &str = "
        INSERT INTO feed_epoch (epoch, ordinal, ended_at)
        SELECT $1, COALESCE(MAX(ordinal), 0) + 1, $2
        FROM feed_epoch";
    const BEGIN: &str = "
        UPDATE feed_head
        SET epoch = $1
        WHERE part = 0
        RETURNING epoch, position, floor";
    let lock = LOCK.text(tx.dialect());
    let old: Head = on!(tx, |conn| sqlx::query_as(lock).fetch_one(conn).await)?;
    on!(tx, |conn| sqlx::query(END)
        .bind(&old.epoch)
        .bind(old.position)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(on!(tx, |conn| sqlx::query_as(BEGIN)
        .bind(epoch)
        .fetch_one(conn)
        .await)?)
}

/// The last position up to which an ended epoch and the present one are the same; `None` for an epoch that this
/// database does not remember.
pub(crate) async fn find_common_end(
    db: &mut impl Access,
    epoch: &str,
) -> Result<Option<i64>, Error> {
    // Later lives may have ended earlier: each restore goes back to where its backup was made.
    const SELECT: &str = "
        SELECT MIN(later.ended_at)
        FROM feed_epoch AS ended
        JOIN feed_epoch AS later ON later.ordinal >= ended.ordinal
        WHERE ended.epoch = $1";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(epoch)
        .fetch_one(conn)
        .await)?)
}

pub(crate) async fn get_head(db: &mut impl Access) -> Result<Head, Error> {
    const SELECT: &str = "SELECT epoch, position, floor FROM feed_head WHERE part = 0";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_one(conn)
        .await)?)
}

/// Changes after a position, in order: at most `limit`, and fewer when they are large.
pub(crate) async fn list_after(
    db: &mut impl Access,
    after: i64,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    const SELECT: &str = "
        WITH page AS (
            SELECT position, LENGTH(payload) AS bytes
            FROM feed
            WHERE position > $1
            ORDER BY position
            LIMIT $2
        ), sized AS (
            SELECT position, SUM(bytes) OVER (ORDER BY position) - bytes AS bytes_before
            FROM page
        )
        SELECT f.position, f.event_id, f.customer_id, f.revision, f.recorded_at, f.type_url, f.payload,
            f.traceparent
        FROM sized AS s
        JOIN feed AS f ON f.position = s.position
        WHERE s.bytes_before < $3
        ORDER BY f.position";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(after)
        .bind(limit)
        .bind(PAYLOAD_BYTES_MAX)
        .fetch_all(conn)
        .await)?)
}

/// Whether PostgreSQL's outbox holds anything.
pub(crate) async fn has_outbox(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // By the key: the table itself begins with pages of rows that were moved long ago.
    let first: Option<i64> = sqlx::query_scalar("SELECT seq FROM outbox ORDER BY seq LIMIT 1")
        .fetch_optional(conn)
        .await?;
    Ok(first.is_some())
}

/// Moves the oldest outbox rows to the feed, under the head row's lock; returns how many.
pub(crate) async fn sequence(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    const LOCK: &str = "SELECT position FROM feed_head WHERE part = 0 FOR UPDATE";
    const MOVE: &str = "
        WITH moved AS (
            DELETE FROM outbox
            WHERE seq <= (SELECT MAX(seq) FROM (SELECT seq FROM outbox ORDER BY seq LIMIT $2) AS oldest)
            RETURNING seq, event_id, customer_id, revision, recorded_at, type_url, payload, traceparent
        )
        INSERT INTO feed
            (position, event_id, customer_id, revision, recorded_at, type_url, payload, traceparent)
        SELECT $1 + ROW_NUMBER() OVER (ORDER BY seq),
            event_id, customer_id, revision, recorded_at, type_url, payload, traceparent
        FROM moved";
    const ADVANCE: &str = "UPDATE feed_head SET position = $1 WHERE part = 0";
    let head: i64 = sqlx::query_scalar(LOCK).fetch_one(&mut *conn).await?;
    let moved = sqlx::query(MOVE)
        .bind(head)
        .bind(limit)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    if moved > 0 {
        let position = head + i64::try_from(moved).expect("a batch is small");
        sqlx::query(ADVANCE)
            .bind(position)
            .execute(&mut *conn)
            .await?;
        // Delivered with the commit, to the watchers of other replicas.
        sqlx::query("NOTIFY asterism_feed").execute(conn).await?;
    }
    Ok(moved)
}

/// Deletes the oldest changes that were recorded before an instant, `limit` at most, and raises the floor;
/// returns the new floor.
pub(crate) async fn compact(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<i64, Error> {
    // In one statement, PostgreSQL would see the head as the sequencer leaves it but the feed as it was
    // before, and take what was just sequenced for old: so the lock comes first, in its own statement.
    const LOCK: Sql = Sql {
        postgres: "SELECT position FROM feed_head WHERE part = 0 FOR UPDATE",
        sqlite: "SELECT position FROM feed_head WHERE part = 0",
    };
    const RAISE: &str = "
        WITH oldest AS (
            SELECT position, recorded_at FROM feed ORDER BY position LIMIT $2
        )
        UPDATE feed_head
        SET floor = COALESCE(
            (SELECT MIN(position) - 1 FROM oldest WHERE recorded_at >= $1),
            (SELECT MAX(position) FROM oldest),
            floor)
        WHERE part = 0
        RETURNING floor";
    const DELETE: &str = "DELETE FROM feed WHERE position <= $1";
    let lock = LOCK.text(tx.dialect());
    on!(tx, |conn| sqlx::query(lock).execute(conn).await.map(drop))?;
    let floor: i64 = on!(tx, |conn| sqlx::query_scalar(RAISE)
        .bind(before)
        .bind(limit)
        .fetch_one(conn)
        .await)?;
    on!(tx, |conn| sqlx::query(DELETE)
        .bind(floor)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(floor)
}
