//! Notices of expiry: the days ahead that programs ask for, and those that were told, which are append-only.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A notice that was told.
#[derive(Debug, Clone)]
pub struct NoticeRow {
    /// The member's customer.
    pub customer_id: CustomerId,
    /// The lot.
    pub lot_id: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Days ahead that the program asks for.
    pub days: i64,
    /// The program.
    pub program_id: String,
    /// The customer's revision with it.
    pub revision: i64,
    /// Points that the lot has left.
    pub points: i64,
    /// When it was told.
    pub told_at: Timestamp,
}

/// Whether a lot was told this notice or a nearer one of the instant at which it expires.
pub async fn is_told(
    db: &mut impl Access,
    customer_id: &CustomerId,
    lot_id: &str,
    (expires_at, days): (Timestamp, i64),
) -> Result<bool, common::Error> {
    const SELECT: &str = "
        SELECT COUNT(*) > 0
        FROM expiry_notices
        WHERE customer_id = $1 AND lot_id = $2 AND expires_at = $3 AND days <= $4";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, bool>(SELECT)
        .bind(customer_id)
        .bind(lot_id)
        .bind(expires_at)
        .bind(days)
        .fetch_one(conn)
        .await)?)
}

/// Appends a notice.
pub async fn insert(tx: &mut Tx, row: &NoticeRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO expiry_notices
            (customer_id, lot_id, expires_at, days, program_id, revision, points, told_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(&row.customer_id)
        .bind(&row.lot_id)
        .bind(row.expires_at)
        .bind(row.days)
        .bind(&row.program_id)
        .bind(row.revision)
        .bind(row.points)
        .bind(row.told_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// The days ahead of every program that asks for notices, by program and days. As short as the list of programs.
pub async fn list_all_days(db: &mut impl Access) -> Result<Vec<(String, i64)>, common::Error> {
    const SELECT: &str = "
        SELECT program_id, days
        FROM expiry_notice_days
        ORDER BY program_id, days";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_all(conn)
        .await)?)
}

/// The days ahead of one program, the nearest first.
pub async fn list_days(db: &mut impl Access, program_id: &str) -> Result<Vec<i64>, common::Error> {
    const SELECT: &str = "
        SELECT days
        FROM expiry_notice_days
        WHERE program_id = $1
        ORDER BY days";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(program_id)
        .fetch_all(conn)
        .await)?)
}

/// Writes the days ahead of a new program.
pub async fn insert_days(tx: &mut Tx, program_id: &str, days: &[i64]) -> Result<(), common::Error> {
    const INSERT: &str = "INSERT INTO expiry_notice_days (program_id, days) VALUES ($1, $2)";
    for days in days {
        on!(tx, |conn| sqlx::query(INSERT)
            .bind(program_id)
            .bind(days)
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}
