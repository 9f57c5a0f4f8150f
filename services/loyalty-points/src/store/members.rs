//! Memberships of customers in programs, and their tiers.

mod customers;
mod standings;
mod tiers;

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Deserialize;

pub use customers::{Lock, insert_customer, lock, lock_again, update_revisions};
pub use standings::{Batch, Standing, list_batch, list_standings, update};
pub use tiers::{StoredTier, list_tiers};

/// State of a member who earns and redeems.
pub const ACTIVE: &str = "active";
/// State of a member whose customer was deleted.
pub const CLOSED: &str = "closed";

/// A membership as stored.
#[derive(Debug, Clone, sqlx::FromRow, Deserialize)]
pub struct Member {
    /// The customer.
    pub customer_id: CustomerId,
    /// The program.
    pub program_id: String,
    /// `active` or `closed`.
    pub state: String,
    /// When the customer was enrolled.
    pub enrolled_at: Timestamp,
    /// Who took the member in; absent while it stands for itself.
    #[sqlx(default)]
    pub merged_into: Option<CustomerId>,
    /// Who stands for it, at the end of the chain.
    #[sqlx(default)]
    pub survivor: Option<CustomerId>,
}

impl Member {
    /// Whether the customer was deleted.
    pub fn is_closed(&self) -> bool {
        self.state == CLOSED
    }
}

/// A membership, if there is one.
pub async fn find(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
) -> Result<Option<Member>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, state, enrolled_at, merged_into, survivor
        FROM members
        WHERE customer_id = $1 AND program_id = $2";
    Ok(on!(db, |conn| sqlx::query_as::<_, Member>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .fetch_optional(conn)
        .await)?)
}

/// A program's members, in the order of their ids.
pub async fn list(
    db: &mut impl Access,
    program_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Member>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, state, enrolled_at, merged_into, survivor
        FROM members
        WHERE program_id = $1 AND customer_id > $2
        ORDER BY customer_id
        LIMIT $3";
    Ok(on!(db, |conn| sqlx::query_as::<_, Member>(SELECT)
        .bind(program_id)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// Enrols a customer with nothing; false if enrolled before.
pub async fn insert(
    tx: &mut Tx,
    member: &Member,
    tier: &str,
    tier_policy: i64,
) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO members
            (customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since, tier_policy,
             earned_tier)
        VALUES ($1, $2, $3, $4, $5, 0, $4, $6, $5)
        ON CONFLICT (customer_id, program_id) DO NOTHING";
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(&member.customer_id)
        .bind(&member.program_id)
        .bind(&member.state)
        .bind(member.enrolled_at)
        .bind(tier)
        .bind(tier_policy)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}

/// Marks a customer deleted and closes the memberships, which are returned by program.
pub async fn close(
    tx: &mut Tx,
    customer_id: &CustomerId,
    now: Timestamp,
) -> Result<Vec<Member>, common::Error> {
    const UPDATE_CUSTOMER: &str = "UPDATE customers SET deleted_at = $2 WHERE customer_id = $1";
    const UPDATE: &str = "
        UPDATE members
        SET state = 'closed'
        WHERE customer_id = $1 AND state = 'active'
        RETURNING customer_id, program_id, state, enrolled_at";
    on!(tx, |conn| sqlx::query(UPDATE_CUSTOMER)
        .bind(customer_id)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    let mut closed = on!(tx, |conn| sqlx::query_as::<_, Member>(UPDATE)
        .bind(customer_id)
        .fetch_all(conn)
        .await)?;
    closed.sort_by(|a, b| a.program_id.cmp(&b.program_id));
    Ok(closed)
}
