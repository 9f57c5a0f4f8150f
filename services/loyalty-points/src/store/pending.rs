//! Lots that wait for an event, or did.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use super::lots::{LotRow, lot_columns};
use crate::domain::lots::Lot;

/// Earnings of one member by what they are for.
#[derive(Debug, Clone, Copy)]
pub struct OfSource<'a> {
    /// The member's customer.
    pub customer_id: &'a CustomerId,
    /// The program.
    pub program_id: &'a str,
    /// Kind of the source.
    pub source_type: &'a str,
    /// The source.
    pub source_ref: &'a str,
    /// Only this posting; empty means all of them.
    pub posting_id: &'a str,
}

/// An earning with its lot.
#[derive(Debug)]
pub struct Earning {
    /// The posting.
    pub posting_id: String,
    /// The rule that decided it.
    pub rule: String,
    /// The lot.
    pub lot: Lot,
}

/// The earnings of a source, the first posted first. Unlimited: there is one for each rule.
pub async fn list(db: &mut impl Access, of: OfSource<'_>) -> Result<Vec<Earning>, common::Error> {
    const SELECT: &str = concat!(
        "
        SELECT p.posting_id, p.rule, ",
        lot_columns!("l."),
        "
        FROM postings p
        JOIN lots l ON l.customer_id = p.customer_id AND l.posting_id = p.posting_id
        WHERE p.program_id = $1
            AND p.source_type = $2
            AND p.source_ref = $3
            AND p.customer_id = $4
            AND p.kind = 'earn'
            AND ($5 = '' OR p.posting_id = $5)
        ORDER BY p.revision"
    );
    #[derive(sqlx::FromRow)]
    struct Row {
        posting_id: String,
        rule: String,
        #[sqlx(flatten)]
        lot: LotRow,
    }
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(SELECT)
        .bind(of.program_id)
        .bind(of.source_type)
        .bind(of.source_ref)
        .bind(of.customer_id)
        .bind(of.posting_id)
        .fetch_all(conn)
        .await)?;
    let earning = |row: Row| Earning {
        posting_id: row.posting_id,
        rule: row.rule,
        lot: row.lot.into(),
    };
    Ok(rows.into_iter().map(earning).collect())
}

/// Writes from when on and until when a lot can be spent.
pub async fn activate(
    tx: &mut Tx,
    customer_id: &CustomerId,
    lot: &Lot,
) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE lots
        SET activates_at = $3, expires_at = $4
        WHERE customer_id = $1 AND lot_id = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(customer_id)
        .bind(&lot.lot_id)
        .bind(lot.activates_at)
        .bind(lot.expires_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Marks a lot, whose points have been taken back, as cancelled.
pub async fn cancel(
    tx: &mut Tx,
    customer_id: &CustomerId,
    lot_id: &str,
    at: Timestamp,
) -> Result<(), common::Error> {
    const UPDATE: &str = "UPDATE lots SET cancelled_at = $3 WHERE customer_id = $1 AND lot_id = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(customer_id)
        .bind(lot_id)
        .bind(at)
        .execute(conn)
        .await
        .map(drop))?)
}
