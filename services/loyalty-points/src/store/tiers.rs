//! Changes of tiers: append-only.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A change as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TierChangeRow {
    /// The customer.
    pub customer_id: CustomerId,
    /// The customer's revision with it.
    pub revision: i64,
    /// The program.
    pub program_id: String,
    /// The tier before; empty at enrolment.
    pub from_tier: String,
    /// The tier after.
    pub to_tier: String,
    /// Why.
    pub reason: String,
    /// Points that counted.
    pub points: i64,
    /// When.
    pub changed_at: Timestamp,
    /// Who, where it was done by hand or somebody asked for it.
    pub actor: String,
    /// Why, in the words of who did.
    pub remark: String,
    /// The version of the policy that decided it.
    pub policy_version: i64,
}

/// Appends a change.
pub async fn insert(tx: &mut Tx, change: &TierChangeRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO tier_changes
            (customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at, actor,
             remark, policy_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(&change.customer_id)
        .bind(change.revision)
        .bind(&change.program_id)
        .bind(&change.from_tier)
        .bind(&change.to_tier)
        .bind(&change.reason)
        .bind(change.points)
        .bind(change.changed_at)
        .bind(&change.actor)
        .bind(&change.remark)
        .bind(change.policy_version)
        .execute(conn)
        .await
        .map(drop))?)
}

/// A member's changes before a revision, the latest first.
pub async fn list(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<TierChangeRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at, actor,
               remark, policy_version
        FROM tier_changes
        WHERE customer_id = $1 AND program_id = $2 AND revision < $3
        ORDER BY revision DESC
        LIMIT $4";
    Ok(on!(db, |conn| sqlx::query_as::<_, TierChangeRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// The changes made in a batch of a run, by customer: no more than members were looked at.
pub async fn list_of_run(
    db: &mut impl Access,
    run_id: &str,
    batch: i64,
) -> Result<Vec<TierChangeRow>, common::Error> {
    const SELECT: &str = "
        SELECT t.customer_id, t.revision, t.program_id, t.from_tier, t.to_tier, t.reason, t.points,
               t.changed_at, t.actor, t.remark, t.policy_version
        FROM run_members r
        JOIN tier_changes t ON t.customer_id = r.customer_id AND t.revision = r.revision
        WHERE r.run_id = $1 AND r.batch = $2
        ORDER BY t.customer_id";
    Ok(on!(db, |conn| sqlx::query_as::<_, TierChangeRow>(SELECT)
        .bind(run_id)
        .bind(batch)
        .fetch_all(conn)
        .await)?)
}
