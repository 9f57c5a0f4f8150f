//! What of purchases and of the lines of earnings is left to return, to be compared with what was returned.

use common::db::Access;
use common::time::Timestamp;

use super::histories::{Range, list};

/// A purchase as stored, with the earning that it made, if it made one.
#[derive(Debug, sqlx::FromRow)]
pub struct PurchaseRow {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The purchase.
    pub transaction_id: String,
    /// What was paid.
    pub spend: i64,
    /// What of it is left.
    pub remaining: i64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Points by the base rule alone.
    pub base_points: i64,
    /// The tier it earned in.
    pub tier: String,
    /// What that made of it, in basis points.
    pub multiplier: i64,
    /// By which version of the policy.
    pub policy_version: i64,
    /// Whether it was voided.
    pub voided: bool,
    /// Whether the member is closed.
    pub closed: bool,
    /// The earning.
    pub posting_id: Option<String>,
    /// When the earning says that it happened.
    pub posted_for: Option<Timestamp>,
    /// What the earning was decided on.
    pub decision: Option<String>,
}

/// Every purchase of the customers, who are few.
pub async fn list_purchases(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<PurchaseRow>, common::Error> {
    const SELECT: &str = "
        SELECT u.customer_id, u.program_id, u.transaction_id, u.spend, u.remaining,
               u.occurred_at, u.base_points, u.tier, u.multiplier, u.policy_version,
               EXISTS (
                   SELECT 1
                   FROM voided_purchases v
                   WHERE v.customer_id = u.customer_id AND v.transaction_id = u.transaction_id
               ) AS voided,
               m.state = 'closed' AS closed, p.posting_id, p.occurred_at AS posted_for, p.decision
        FROM purchases u
        JOIN members m ON m.customer_id = u.customer_id AND m.program_id = u.program_id
        LEFT JOIN postings p
            ON p.program_id = u.program_id
            AND p.source_type = 'transaction'
            AND p.source_ref = u.transaction_id
            AND p.rule = 'base'
            AND p.customer_id = u.customer_id
        WHERE u.customer_id > $1 AND u.customer_id <= $2
        ORDER BY u.customer_id, u.program_id, u.transaction_id";
    list(db, SELECT, range).await
}

/// The lines of an earning as stored, added up.
#[derive(Debug, sqlx::FromRow)]
pub struct LineSums {
    /// The customer.
    pub customer_id: String,
    /// The earning.
    pub posting_id: String,
    /// What all lines weigh.
    pub weight: i64,
    /// What of that was returned.
    pub returned: i64,
    /// What posting it is; absent: none.
    pub kind: Option<String>,
}

/// The lines of every earning of the customers, who are few.
pub async fn list_lines(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<LineSums>, common::Error> {
    const SELECT: &str = "
        SELECT l.customer_id, l.posting_id, CAST(SUM(l.weight) AS BIGINT) AS weight,
               CAST(SUM(l.returned_weight) AS BIGINT) AS returned, MAX(p.kind) AS kind
        FROM earning_lines l
        LEFT JOIN postings p ON p.customer_id = l.customer_id AND p.posting_id = l.posting_id
        WHERE l.customer_id > $1 AND l.customer_id <= $2
        GROUP BY l.customer_id, l.posting_id
        ORDER BY l.customer_id, l.posting_id";
    list(db, SELECT, range).await
}

/// A reversal of an earning.
#[derive(Debug, sqlx::FromRow)]
pub struct ReversalRow {
    /// The customer.
    pub customer_id: String,
    /// The earning.
    pub reverses: String,
    /// What it was decided on.
    pub decision: Option<String>,
}

/// Every reversal in the customers' ledgers, who are few, those of each customer in order.
pub async fn list_reversals(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<ReversalRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, reverses, decision
        FROM postings
        WHERE customer_id > $1 AND customer_id <= $2 AND kind = 'reverse' AND reverses IS NOT NULL
        ORDER BY customer_id, revision";
    list(db, SELECT, range).await
}
