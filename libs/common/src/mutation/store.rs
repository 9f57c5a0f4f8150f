//! The idempotency table.

use prost::Message;
use tonic::Status;

use super::fingerprint::Fingerprint;
use crate::db::Tx;
use crate::error::Error;
use crate::on;
use crate::time::Timestamp;

/// An answer given before.
#[derive(sqlx::FromRow)]
pub(super) struct Stored {
    pub fingerprint: Vec<u8>,
    pub code: Option<i64>,
    pub response: Option<Vec<u8>>,
    pub message: Option<String>,
    pub details: Option<Vec<u8>>,
}

/// An answer to store.
pub(super) struct Answer {
    code: i64,
    response: Option<Vec<u8>>,
    message: Option<String>,
    details: Option<Vec<u8>>,
}

impl Answer {
    pub fn of<T: Message>(outcome: &Result<T, Status>) -> Self {
        match outcome {
            Ok(response) => Self {
                code: 0,
                response: Some(response.encode_to_vec()),
                message: None,
                details: None,
            },
            Err(status) => Self {
                code: i64::from(i32::from(status.code())),
                response: None,
                message: Some(status.message().to_owned()),
                details: Some(status.details().to_vec()),
            },
        }
    }
}

/// Takes the key, or waits for the transaction that holds it and returns false.
pub(super) async fn reserve(
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

pub(super) async fn get(tx: &mut Tx, method: &str, request_id: &str) -> Result<Stored, Error> {
    const SELECT: &str = "
        SELECT fingerprint, code, response, message, details
        FROM idempotency
        WHERE method = $1 AND request_id = $2";
    Ok(on!(tx, |conn| {
        sqlx::query_as(SELECT)
            .bind(method)
            .bind(request_id)
            .fetch_one(conn)
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
