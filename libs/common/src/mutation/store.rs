//! The idempotency table.

use prost::Message;
use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};
use tonic::Status;

use super::fingerprint::Fingerprint;
use crate::db::{Access as _, Conn, Dialect, Hex, Tx, json_rows};
use crate::error::Error;
use crate::on;
use crate::time::Timestamp;

/// An answer given before.
#[derive(sqlx::FromRow)]
pub(super) struct Stored {
    pub fingerprint: Vec<u8>,
    #[sqlx(flatten)]
    pub answer: Answer,
}

/// What a mutation came to.
#[derive(sqlx::FromRow)]
pub(super) struct Answer {
    pub code: Option<i64>,
    pub response: Option<Vec<u8>>,
    pub message: Option<String>,
    pub details: Option<Vec<u8>>,
}

impl Answer {
    pub fn of<T: Message>(outcome: Result<&T, &Status>) -> Self {
        match outcome {
            Ok(response) => Self {
                code: Some(0),
                response: Some(response.encode_to_vec()),
                message: None,
                details: None,
            },
            Err(status) => Self {
                code: Some(i64::from(i32::from(status.code()))),
                response: None,
                message: Some(status.message().to_owned()),
                details: Some(status.details().to_vec()),
            },
        }
    }
}

/// Takes the key, or waits for the transaction that holds it and returns the answer given there.
///
/// An answer may be forgotten between the two looks: then the key is free after all.
pub(super) async fn reserve_or_get(
    tx: &mut Tx,
    method: &str,
    request_id: &str,
    fingerprint: &Fingerprint,
) -> Result<Option<Stored>, Error> {
    loop {
        if reserve(tx, method, request_id, fingerprint).await? {
            return Ok(None);
        }
        if let Some(stored) = get(tx, method, request_id).await? {
            return Ok(Some(stored));
        }
    }
}

async fn reserve(
    tx: &mut Tx,
    method: &str,
    request_id: &str,
    fingerprint: &Fingerprint,
) -> Result<bool, Error> {
    const INSERT: &str = "
        INSERT INTO idempotency (method, request_id, fingerprint, created_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (method, request_id) DO NOTHING";
    let now = tx.now();
    let inserted = on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(method)
            .bind(request_id)
            .bind(fingerprint.to_bytes())
            .bind(now)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(inserted == 1)
}

async fn get(tx: &mut Tx, method: &str, request_id: &str) -> Result<Option<Stored>, Error> {
    const SELECT: &str = "
        SELECT fingerprint, code, response, message, details
        FROM idempotency
        WHERE method = $1 AND request_id = $2";
    Ok(on!(tx, |conn| {
        sqlx::query_as(SELECT)
            .bind(method)
            .bind(request_id)
            .fetch_optional(conn)
            .await
    })?)
}

pub(super) async fn update(
    tx: &mut Tx,
    method: &str,
    request_id: &str,
    answer: Answer,
) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE idempotency
        SET code = $3, response = $4, message = $5, details = $6
        WHERE method = $1 AND request_id = $2";
    on!(tx, |conn| {
        sqlx::query(UPDATE)
            .bind(method)
            .bind(request_id)
            .bind(answer.code)
            .bind(answer.response)
            .bind(answer.message)
            .bind(answer.details)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Writes new keys with their answers, all in one statement; false if one of the keys exists.
pub(super) async fn insert_answered(
    tx: &mut Tx,
    new: &[(&str, &str, &Stored)],
) -> Result<bool, Error> {
    if new.is_empty() {
        return Ok(true);
    }
    let now = tx.now();
    let inserted = match tx.conn() {
        Conn::Postgres(conn) => insert_on_postgres(conn, new, now).await?,
        Conn::Sqlite(conn) => insert_on_sqlite(conn, new, now).await?,
    };
    Ok(inserted == new.len() as u64)
}

async fn insert_on_postgres(
    conn: &mut PgConnection,
    new: &[(&str, &str, &Stored)],
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    // In the order of the keys: two transactions with the same ones wait for each other, not for ever.
    const INSERT: &str = "
        INSERT INTO idempotency
            (method, request_id, fingerprint, created_at, code, response, message, details)
        SELECT method, request_id, fingerprint, $8, code, response, message, details
        FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[], $5::BYTEA[], $6::TEXT[], $7::BYTEA[])
            AS answer (method, request_id, fingerprint, code, response, message, details)
        ORDER BY method, request_id
        ON CONFLICT (method, request_id) DO NOTHING";
    fn column<'a, T>(new: &'a [(&str, &str, &Stored)], of: impl Fn(&'a Stored) -> T) -> Vec<T> {
        new.iter().map(|(_, _, stored)| of(stored)).collect()
    }
    let methods: Vec<_> = new.iter().map(|(method, ..)| *method).collect();
    let request_ids: Vec<_> = new.iter().map(|(_, request_id, _)| *request_id).collect();
    let done = sqlx::query(INSERT)
        .bind(methods)
        .bind(request_ids)
        .bind(column(new, |stored| stored.fingerprint.as_slice()))
        .bind(column(new, |stored| stored.answer.code))
        .bind(column(new, |stored| stored.answer.response.as_deref()))
        .bind(column(new, |stored| stored.answer.message.as_deref()))
        .bind(column(new, |stored| stored.answer.details.as_deref()))
        .bind(now)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

async fn insert_on_sqlite(
    conn: &mut SqliteConnection,
    new: &[(&str, &str, &Stored)],
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    const INSERT: &str = "
        INSERT INTO idempotency
            (method, request_id, fingerprint, created_at, code, response, message, details)
        SELECT value ->> 0, value ->> 1, unhex(value ->> 2), $2, value ->> 3, unhex(value ->> 4),
               value ->> 5, unhex(value ->> 6)
        FROM jsonb_each($1)
        WHERE TRUE
        ON CONFLICT (method, request_id) DO NOTHING";
    #[derive(Serialize)]
    struct Row<'a> {
        method: &'a str,
        request_id: &'a str,
        fingerprint: Hex<'a>,
        code: Option<i64>,
        response: Option<Hex<'a>>,
        message: Option<&'a str>,
        details: Option<Hex<'a>>,
    }
    let rows: Vec<_> = new
        .iter()
        .map(|(method, request_id, stored)| Row {
            method,
            request_id,
            fingerprint: Hex(&stored.fingerprint),
            code: stored.answer.code,
            response: stored.answer.response.as_deref().map(Hex),
            message: stored.answer.message.as_deref(),
            details: stored.answer.details.as_deref().map(Hex),
        })
        .collect();
    let done = sqlx::query(INSERT)
        .bind(json_rows(Dialect::Sqlite, &rows))
        .bind(now)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Forgets the oldest answers given before an instant, `limit` at most; returns how many.
pub(crate) async fn delete_before(
    tx: &mut Tx,
    before: Timestamp,
    limit: i64,
) -> Result<u64, Error> {
    const DELETE: &str = "
        DELETE FROM idempotency
        WHERE (method, request_id) IN (
            SELECT method, request_id
            FROM idempotency
            WHERE created_at < $1
            ORDER BY created_at
            LIMIT $2
        )";
    Ok(on!(tx, |conn| sqlx::query(DELETE)
        .bind(before)
        .bind(limit)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?)
}
