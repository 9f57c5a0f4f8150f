//! Runs: what somebody asked for that takes many transactions, how far it is, and what was done for whom.

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A run as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RunRow {
    /// Its identifier.
    pub run_id: String,
    /// Full name of the method.
    pub method: String,
    /// The caller's, if there was one.
    pub request_id: Option<String>,
    /// Who asked.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Progress {
    /// Batches that are closed.
    pub batches: i64,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
}

/// What was done for a member.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MemberRow {
    /// The customer.
    pub customer_id: CustomerId,
    /// The program.
    pub program_id: String,
    /// The customer's revision with it; absent: the member could not be done.
    pub revision: Option<i64>,
    /// Holds that were found to have timed out.
    pub holds_expired: i64,
    /// Points that were written off.
    pub points_expired: i64,
    /// Notices that were told.
    pub notices: i64,
    /// What went on to whoever stands for a merged member, as it is told; empty: nothing.
    pub passed_on: Vec<u8>,
}

/// Writes a new run.
pub async fn insert(tx: &mut Tx, run: &RunRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO runs
            (run_id, method, request_id, actor, reason, begun_at, batches, finished_at)
        VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(&run.run_id)
        .bind(&run.method)
        .bind(&run.request_id)
        .bind(&run.actor)
        .bind(&run.reason)
        .bind(run.begun_at)
        .bind(run.finished_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// A run.
pub async fn find(db: &mut impl Access, run_id: &str) -> Result<Option<RunRow>, common::Error> {
    const SELECT: &str = "
        SELECT run_id, method, request_id, actor, reason, begun_at, finished_at
        FROM runs
        WHERE run_id = $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(run_id)
        .fetch_optional(conn)
        .await)?)
}

/// Runs that began before one, the latest first.
pub async fn list(
    db: &mut impl Access,
    (begun_at, run_id): (Timestamp, &str),
    limit: i64,
) -> Result<Vec<RunRow>, common::Error> {
    const SELECT: &str = "
        SELECT run_id, method, request_id, actor, reason, begun_at, finished_at
        FROM runs
        WHERE (begun_at, run_id) < ($1, $2)
        ORDER BY begun_at DESC, run_id DESC
        LIMIT $3";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(begun_at)
        .bind(run_id)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// How far a run is.
pub async fn find_progress(
    db: &mut impl Access,
    run_id: &str,
) -> Result<Option<Progress>, common::Error> {
    const SELECT: &str = "SELECT batches, finished_at FROM runs WHERE run_id = $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(run_id)
        .fetch_optional(conn)
        .await)?)
}

/// Keeps others from going on with a run until the transaction ends; tells how far it is.
pub async fn lock(tx: &mut Tx, run_id: &str) -> Result<Option<Progress>, common::Error> {
    // SQLite has one writer at a time anyway.
    const SELECT: Sql = Sql {
        postgres: "SELECT batches, finished_at FROM runs WHERE run_id = $1 FOR UPDATE",
        sqlite: "SELECT batches, finished_at FROM runs WHERE run_id = $1",
    };
    let text = SELECT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query_as(text)
        .bind(run_id)
        .fetch_optional(conn)
        .await)?)
}

/// Writes how far a run is.
pub async fn update_progress(
    tx: &mut Tx,
    run_id: &str,
    progress: Progress,
) -> Result<(), common::Error> {
    const UPDATE: &str = "UPDATE runs SET batches = $2, finished_at = $3 WHERE run_id = $1";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(run_id)
        .bind(progress.batches)
        .bind(progress.finished_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes what is looked at in a batch, unless that is decided.
pub async fn insert_batch(
    tx: &mut Tx,
    run_id: &str,
    batch: i64,
    plan: &str,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO run_batches (run_id, batch, plan)
        VALUES ($1, $2, $3)
        ON CONFLICT (run_id, batch) DO NOTHING";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(run_id)
        .bind(batch)
        .bind(plan)
        .execute(conn)
        .await
        .map(drop))?)
}

/// What is looked at in a batch, if that is decided.
pub async fn find_plan(
    db: &mut impl Access,
    run_id: &str,
    batch: i64,
) -> Result<Option<String>, common::Error> {
    const SELECT: &str = "SELECT plan FROM run_batches WHERE run_id = $1 AND batch = $2";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(run_id)
        .bind(batch)
        .fetch_optional(conn)
        .await)?)
}

/// Writes what was done for a member.
pub async fn insert_member(
    tx: &mut Tx,
    run_id: &str,
    batch: i64,
    member: &MemberRow,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO run_members
            (run_id, batch, customer_id, program_id, revision, holds_expired, points_expired, notices,
             passed_on)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(run_id)
        .bind(batch)
        .bind(&member.customer_id)
        .bind(&member.program_id)
        .bind(member.revision)
        .bind(member.holds_expired)
        .bind(member.points_expired)
        .bind(member.notices)
        .bind(&member.passed_on)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Whether a member was done in a run, or could not be.
pub async fn has_member(
    db: &mut impl Access,
    run_id: &str,
    customer_id: &CustomerId,
    program_id: &str,
) -> Result<bool, common::Error> {
    const SELECT: &str = "
        SELECT COUNT(*) > 0
        FROM run_members
        WHERE run_id = $1 AND customer_id = $2 AND program_id = $3";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(run_id)
        .bind(customer_id)
        .bind(program_id)
        .fetch_one(conn)
        .await)?)
}

/// The members of a batch, by customer and program: no more than were looked at.
pub async fn list_members(
    db: &mut impl Access,
    run_id: &str,
    batch: i64,
) -> Result<Vec<MemberRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, revision, holds_expired, points_expired, notices, passed_on
        FROM run_members
        WHERE run_id = $1 AND batch = $2
        ORDER BY customer_id, program_id";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(run_id)
        .bind(batch)
        .fetch_all(conn)
        .await)?)
}

/// The oldest run that began before an instant and whose answer is not kept any more.
pub async fn lock_old(tx: &mut Tx, before: Timestamp) -> Result<Option<String>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT run_id
            FROM runs r
            WHERE begun_at < $1
                AND NOT EXISTS (
                    SELECT 1 FROM idempotency i
                    WHERE i.method = r.method AND i.request_id = r.request_id)
            ORDER BY begun_at, run_id
            LIMIT 1
            FOR UPDATE",
        sqlite: "
            SELECT run_id
            FROM runs r
            WHERE begun_at < $1
                AND NOT EXISTS (
                    SELECT 1 FROM idempotency i
                    WHERE i.method = r.method AND i.request_id = r.request_id)
            ORDER BY begun_at, run_id
            LIMIT 1",
    };
    let text = SELECT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query_scalar(text)
        .bind(before)
        .fetch_optional(conn)
        .await)?)
}

/// Forgets so many members of a run at most, and the run itself where none are left.
pub async fn delete(tx: &mut Tx, run_id: &str, limit: i64) -> Result<(), common::Error> {
    const DELETE_MEMBERS: &str = "
        DELETE FROM run_members
        WHERE (run_id, customer_id, program_id) IN (
            SELECT run_id, customer_id, program_id
            FROM run_members
            WHERE run_id = $1
            ORDER BY customer_id, program_id
            LIMIT $2
        )";
    const DELETE: [&str; 2] = [
        "DELETE FROM run_batches WHERE run_id = $1",
        "DELETE FROM runs WHERE run_id = $1",
    ];
    let deleted = on!(tx, |conn| sqlx::query(DELETE_MEMBERS)
        .bind(run_id)
        .bind(limit)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    if deleted > 0 {
        return Ok(());
    }
    for delete in DELETE {
        on!(tx, |conn| sqlx::query(delete)
            .bind(run_id)
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}
