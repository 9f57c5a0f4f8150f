//! Customers as far as points go, and their memberships.

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use super::tier_overrides::OpenColumns;
use crate::domain::plan::Holding;
use crate::domain::tiers::Qualification;

/// State of a member who earns and redeems.
pub const ACTIVE: &str = "active";
/// State of a member whose customer was deleted.
pub const CLOSED: &str = "closed";

/// A membership as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Member {
    /// The customer.
    pub customer_id: CustomerId,
    /// The program.
    pub program_id: String,
    /// `active` or `closed`.
    pub state: String,
    /// When the customer was enrolled.
    pub enrolled_at: Timestamp,
}

impl Member {
    /// Whether the customer was deleted.
    pub fn is_closed(&self) -> bool {
        self.state == CLOSED
    }
}

/// A membership with everything that a posting is decided on.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Standing {
    /// The membership.
    #[sqlx(flatten)]
    pub member: Member,
    /// Points in lots.
    pub points: i64,
    /// Points of lots that are held.
    pub held: i64,
    /// Points owed.
    pub debt: i64,
    /// The tier as stored.
    pub tier: String,
    /// Since when.
    pub tier_since: Timestamp,
    /// The points it was decided on.
    pub tier_points: i64,
    /// Until when that stands.
    pub tier_valid_until: Option<Timestamp>,
    /// The tier given by hand, if any.
    #[sqlx(flatten)]
    pub tier_override: OpenColumns,
    qualified: i64,
    oldest: Option<Timestamp>,
    upcoming: Option<Timestamp>,
}

impl Standing {
    /// What the member holds.
    pub fn holding(&self) -> Holding {
        Holding {
            points: self.points,
            held: self.held,
            debt: self.debt,
        }
    }

    /// What counts for the tier at the instant it was read for.
    pub fn qualification(&self) -> Qualification {
        Qualification {
            points: self.qualified,
            oldest: self.oldest,
            upcoming: self.upcoming,
        }
    }
}

/// A customer whose row this transaction has locked. Hands out the revisions of the changes it makes.
#[derive(Debug)]
pub struct Lock {
    /// The customer.
    pub customer_id: CustomerId,
    /// The revision of the latest change.
    pub revision: i64,
    /// Whether the customer was deleted.
    pub deleted: bool,
    stored: i64,
}

impl Lock {
    /// The revision for one more change.
    pub fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }
}

/// Locks a customer, if known. Whatever is read afterwards in this transaction stays true until it ends.
///
/// Raises the stored revision by one at once, since nearly every lock leads to one change; `settle` puts
/// right what turns out otherwise.
pub async fn lock(tx: &mut Tx, customer_id: &CustomerId) -> Result<Option<Lock>, common::Error> {
    const UPDATE: &str = "
        UPDATE customers
        SET revision = revision + 1
        WHERE customer_id = $1
        RETURNING revision, deleted_at IS NOT NULL";
    let row = on!(tx, |conn| sqlx::query_as::<_, (i64, bool)>(UPDATE)
        .bind(customer_id)
        .fetch_optional(conn)
        .await)?;
    Ok(row.map(|(stored, deleted)| Lock {
        customer_id: customer_id.clone(),
        revision: stored - 1,
        deleted,
        stored,
    }))
}

/// Makes the stored revision the one of the latest change.
pub async fn settle(tx: &mut Tx, lock: &Lock) -> Result<(), common::Error> {
    const UPDATE: &str = "UPDATE customers SET revision = $2 WHERE customer_id = $1";
    if lock.revision == lock.stored {
        return Ok(());
    }
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&lock.customer_id)
        .bind(lock.revision)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Makes a customer known; false if it is.
pub async fn insert_customer(tx: &mut Tx, customer_id: &CustomerId) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO customers (customer_id, revision)
        VALUES ($1, 0)
        ON CONFLICT (customer_id) DO NOTHING";
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(customer_id)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}

/// A customer's memberships in all programs or in one (`program_id` not empty), by program.
pub async fn list_standings(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    as_of: Timestamp,
) -> Result<Vec<Standing>, common::Error> {
    const SELECT: &str = "
        SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.points, m.held, m.debt, m.tier,
               m.tier_since, m.tier_points, m.tier_valid_until,
               o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
               o.reason AS override_reason, o.created_at AS override_created_at,
               o.expires_at AS override_expires_at,
               CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $2), 0) AS BIGINT) AS qualified,
               MIN(l.earned_at) FILTER (WHERE l.earned_at <= $2) AS oldest,
               MIN(l.earned_at) FILTER (WHERE l.earned_at > $2) AS upcoming
        FROM members m
        JOIN programs p ON p.program_id = m.program_id
        LEFT JOIN lots l
            ON l.customer_id = m.customer_id
            AND l.program_id = m.program_id
            AND l.earned_at > $2 - p.tier_window_micros
            AND l.qualifying > 0
        LEFT JOIN tier_overrides o
            ON o.customer_id = m.customer_id
            AND o.program_id = m.program_id
            AND o.ended_at IS NULL
        WHERE m.customer_id = $1
            AND ($3 = '' OR m.program_id = $3)
        GROUP BY m.customer_id, m.program_id, o.customer_id, o.revision
        ORDER BY m.program_id";
    Ok(on!(db, |conn| sqlx::query_as::<_, Standing>(SELECT)
        .bind(customer_id)
        .bind(as_of)
        .bind(program_id)
        .fetch_all(conn)
        .await)?)
}

/// A membership, if there is one.
pub async fn find(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
) -> Result<Option<Member>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, state, enrolled_at
        FROM members
        WHERE customer_id = $1 AND program_id = $2";
    Ok(on!(db, |conn| sqlx::query_as::<_, Member>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .fetch_optional(conn)
        .await)?)
}

/// What a member owes.
pub async fn get_debt(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
) -> Result<i64, common::Error> {
    const SELECT: &str = "SELECT debt FROM members WHERE customer_id = $1 AND program_id = $2";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .fetch_one(conn)
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
        SELECT customer_id, program_id, state, enrolled_at
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
pub async fn insert(tx: &mut Tx, member: &Member, tier: &str) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO members
            (customer_id, program_id, state, enrolled_at, points, debt, tier, tier_points, tier_since)
        VALUES ($1, $2, $3, $4, 0, 0, $5, 0, $4)
        ON CONFLICT (customer_id, program_id) DO NOTHING";
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(&member.customer_id)
        .bind(&member.program_id)
        .bind(&member.state)
        .bind(member.enrolled_at)
        .bind(tier)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}

/// Writes what a member holds and the tier.
pub async fn update(tx: &mut Tx, standing: &Standing) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE members
        SET points = $3,
            debt = $4,
            tier = $5,
            tier_since = $6,
            tier_points = $7,
            tier_valid_until = $8,
            held = $9
        WHERE customer_id = $1 AND program_id = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&standing.member.customer_id)
        .bind(&standing.member.program_id)
        .bind(standing.points)
        .bind(standing.debt)
        .bind(&standing.tier)
        .bind(standing.tier_since)
        .bind(standing.tier_points)
        .bind(standing.tier_valid_until)
        .bind(standing.held)
        .execute(conn)
        .await
        .map(drop))?)
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

/// A member's stored tier with the customer's revision.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredTier {
    /// The customer.
    pub customer_id: CustomerId,
    /// The customer's revision in this service.
    pub revision: i64,
    /// Name of the tier.
    pub tier: String,
    /// The points it was decided on.
    pub tier_points: i64,
    /// Since when.
    pub tier_since: Timestamp,
    /// Until when that stands.
    pub tier_valid_until: Option<Timestamp>,
    /// The tier given by hand, if any.
    #[sqlx(flatten)]
    pub tier_override: OpenColumns,
}

/// The stored tiers of customers, without those that are no members, in any order.
pub async fn list_tiers(
    db: &mut impl Access,
    program_id: &str,
    customer_ids: &[&str],
) -> Result<Vec<StoredTier>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT m.customer_id, c.revision, m.tier, m.tier_points, m.tier_since, m.tier_valid_until,
                   o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
                   o.reason AS override_reason, o.created_at AS override_created_at,
                   o.expires_at AS override_expires_at
            FROM members m
            JOIN customers c ON c.customer_id = m.customer_id
            LEFT JOIN tier_overrides o
                ON o.customer_id = m.customer_id
                AND o.program_id = m.program_id
                AND o.ended_at IS NULL
            WHERE m.program_id = $1
                AND m.customer_id IN (SELECT json_array_elements_text(CAST($2 AS json)))",
        sqlite: "
            SELECT m.customer_id, c.revision, m.tier, m.tier_points, m.tier_since, m.tier_valid_until,
                   o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
                   o.reason AS override_reason, o.created_at AS override_created_at,
                   o.expires_at AS override_expires_at
            FROM members m
            JOIN customers c ON c.customer_id = m.customer_id
            LEFT JOIN tier_overrides o
                ON o.customer_id = m.customer_id
                AND o.program_id = m.program_id
                AND o.ended_at IS NULL
            WHERE m.program_id = $1
                AND m.customer_id IN (SELECT value FROM json_each($2))",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as::<_, StoredTier>(text)
        .bind(program_id)
        .bind(common::db::json_list(customer_ids))
        .fetch_all(conn)
        .await)?)
}
