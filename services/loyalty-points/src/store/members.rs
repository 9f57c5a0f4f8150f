//! Customers as far as points go, and their memberships.

use common::db::{Access, Sql, Tx, json_list};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

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
    /// The version of the policy it was decided under.
    pub tier_policy: i64,
    /// The tier earned then.
    pub earned_tier: Option<String>,
    /// The version that holds at the instant it was read for.
    pub policy_version: i64,
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

    /// What counts for the tier at the instant it was read for, by a policy that the database can add up for.
    pub fn qualification(&self) -> Qualification {
        Qualification {
            points: self.qualified,
            oldest: self.oldest,
            upcoming: self.upcoming,
        }
    }

    /// Notes what counts for the tier after a change.
    pub fn qualifies_by(&mut self, qualification: Qualification) {
        self.qualified = qualification.points;
        self.oldest = qualification.oldest;
        self.upcoming = qualification.upcoming;
    }
}

/// A customer whose row this transaction has locked. Hands out the revisions of the changes it makes.
#[derive(Debug, Clone)]
pub struct Lock {
    /// The customer.
    pub customer_id: CustomerId,
    /// The revision of the latest change.
    pub revision: i64,
    /// Whether the customer was deleted.
    pub deleted: bool,
}

impl Lock {
    /// The revision for one more change.
    pub fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }
}

/// Locks those of some customers who are known, in the order of their ids. Whatever is read of them afterwards
/// in this transaction stays true until it ends, and the time stands still.
pub async fn lock(tx: &mut Tx, customer_ids: &[&CustomerId]) -> Result<Vec<Lock>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT customer_id, revision, deleted_at IS NOT NULL
            FROM customers
            WHERE customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))
            ORDER BY customer_id
            FOR NO KEY UPDATE",
        // The transaction is the only one that writes.
        sqlite: "
            SELECT customer_id, revision, deleted_at IS NOT NULL
            FROM customers
            WHERE customer_id IN (SELECT value FROM json_each($1))
            ORDER BY customer_id",
    };
    let text = SELECT.text(tx.dialect());
    let rows = on!(tx, |conn| sqlx::query_as::<_, (CustomerId, i64, bool)>(
        text
    )
    .bind(ids(customer_ids))
    .fetch_all(conn)
    .await)?;
    tx.stand_still();
    let lock = |(customer_id, revision, deleted)| Lock {
        customer_id,
        revision,
        deleted,
    };
    Ok(rows.into_iter().map(lock).collect())
}

/// Writes the customers' revisions.
pub async fn update_revisions(
    tx: &mut Tx,
    revisions: &[(&CustomerId, i64)],
) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE customers AS c
            SET revision = changed.revision
            FROM json_to_recordset(CAST($1 AS json)) AS changed (customer_id TEXT, revision BIGINT)
            WHERE c.customer_id = changed.customer_id",
        sqlite: "
            UPDATE customers AS c
            SET revision = changed.value ->> 'revision'
            FROM json_each($1) AS changed
            WHERE c.customer_id = changed.value ->> 'customer_id'",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        revision: i64,
    }
    let rows: Vec<_> = revisions
        .iter()
        .map(|(customer_id, revision)| Row {
            customer_id: customer_id.as_str(),
            revision: *revision,
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(json_list(&rows))
        .execute(conn)
        .await
        .map(drop))?)
}

fn ids(customer_ids: &[&CustomerId]) -> String {
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    json_list(&ids)
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

/// Customers' memberships in all programs or in one (`program_id` not empty), by customer and program.
pub async fn list_standings(
    db: &mut impl Access,
    customer_ids: &[&CustomerId],
    program_id: &str,
    as_of: Timestamp,
) -> Result<Vec<Standing>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.points, m.held, m.debt, m.tier,
                   m.tier_since, m.tier_points, m.tier_valid_until, m.tier_policy, m.earned_tier,
                   v.version AS policy_version,
                   o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
                   o.reason AS override_reason, o.created_at AS override_created_at,
                   o.expires_at AS override_expires_at,
                   CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $2), 0) AS BIGINT) AS qualified,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at <= $2) AS oldest,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at > $2) AS upcoming
            FROM members m
            JOIN tier_policies v
                ON v.program_id = m.program_id
                AND v.version = (
                    SELECT COALESCE(MAX(p.version), 1)
                    FROM tier_policies p
                    WHERE p.program_id = m.program_id AND p.effective_at <= $2
                )
            LEFT JOIN lots l
                ON l.customer_id = m.customer_id
                AND l.program_id = m.program_id
                AND l.earned_at > $2 - v.window_micros
                AND l.qualifying > 0
            LEFT JOIN tier_overrides o
                ON o.customer_id = m.customer_id
                AND o.program_id = m.program_id
                AND o.ended_at IS NULL
            WHERE m.customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))
                AND ($3 = '' OR m.program_id = $3)
            GROUP BY m.customer_id, m.program_id, v.version, o.customer_id, o.revision
            ORDER BY m.customer_id, m.program_id",
        sqlite: "
            SELECT m.customer_id, m.program_id, m.state, m.enrolled_at, m.points, m.held, m.debt, m.tier,
                   m.tier_since, m.tier_points, m.tier_valid_until, m.tier_policy, m.earned_tier,
                   v.version AS policy_version,
                   o.revision AS override_revision, o.tier AS override_tier, o.actor AS override_actor,
                   o.reason AS override_reason, o.created_at AS override_created_at,
                   o.expires_at AS override_expires_at,
                   CAST(COALESCE(SUM(l.qualifying) FILTER (WHERE l.earned_at <= $2), 0) AS BIGINT) AS qualified,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at <= $2) AS oldest,
                   MIN(l.earned_at) FILTER (WHERE l.earned_at > $2) AS upcoming
            FROM members m
            JOIN tier_policies v
                ON v.program_id = m.program_id
                AND v.version = (
                    SELECT COALESCE(MAX(p.version), 1)
                    FROM tier_policies p
                    WHERE p.program_id = m.program_id AND p.effective_at <= $2
                )
            LEFT JOIN lots l
                ON l.customer_id = m.customer_id
                AND l.program_id = m.program_id
                AND l.earned_at > $2 - v.window_micros
                AND l.qualifying > 0
            LEFT JOIN tier_overrides o
                ON o.customer_id = m.customer_id
                AND o.program_id = m.program_id
                AND o.ended_at IS NULL
            WHERE m.customer_id IN (SELECT value FROM json_each($1))
                AND ($3 = '' OR m.program_id = $3)
            GROUP BY m.customer_id, m.program_id, v.version, o.customer_id, o.revision
            ORDER BY m.customer_id, m.program_id",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as::<_, Standing>(text)
        .bind(ids(customer_ids))
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
pub async fn insert(
    tx: &mut Tx,
    member: &Member,
    tier: &str,
    tier_policy: i64,
) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO members
            (customer_id, program_id, state, enrolled_at, points, debt, tier, tier_points, tier_since,
             tier_policy, earned_tier)
        VALUES ($1, $2, $3, $4, 0, 0, $5, 0, $4, $6, $5)
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

/// Writes what members hold and their tiers.
pub async fn update(tx: &mut Tx, standings: &[&Standing]) -> Result<(), common::Error> {
    const UPDATE: Sql = Sql {
        postgres: "
            UPDATE members AS m
            SET points = new.points,
                held = new.held,
                debt = new.debt,
                tier = new.tier,
                tier_since = new.tier_since,
                tier_points = new.tier_points,
                tier_valid_until = new.tier_valid_until,
                tier_policy = new.tier_policy,
                earned_tier = new.earned_tier
            FROM json_to_recordset(CAST($1 AS json))
                AS new (customer_id TEXT, program_id TEXT, points BIGINT, held BIGINT, debt BIGINT,
                        tier TEXT, tier_since BIGINT, tier_points BIGINT, tier_valid_until BIGINT,
                        tier_policy BIGINT, earned_tier TEXT)
            WHERE m.customer_id = new.customer_id AND m.program_id = new.program_id",
        sqlite: "
            UPDATE members AS m
            SET points = new.value ->> 'points',
                held = new.value ->> 'held',
                debt = new.value ->> 'debt',
                tier = new.value ->> 'tier',
                tier_since = new.value ->> 'tier_since',
                tier_points = new.value ->> 'tier_points',
                tier_valid_until = new.value ->> 'tier_valid_until',
                tier_policy = new.value ->> 'tier_policy',
                earned_tier = new.value ->> 'earned_tier'
            FROM json_each($1) AS new
            WHERE m.customer_id = new.value ->> 'customer_id'
                AND m.program_id = new.value ->> 'program_id'",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        program_id: &'a str,
        points: i64,
        held: i64,
        debt: i64,
        tier: &'a str,
        tier_since: i64,
        tier_points: i64,
        tier_valid_until: Option<i64>,
        tier_policy: i64,
        earned_tier: Option<&'a str>,
    }
    let rows: Vec<_> = standings
        .iter()
        .map(|standing| Row {
            customer_id: standing.member.customer_id.as_str(),
            program_id: &standing.member.program_id,
            points: standing.points,
            held: standing.held,
            debt: standing.debt,
            tier: &standing.tier,
            tier_since: standing.tier_since.micros(),
            tier_points: standing.tier_points,
            tier_valid_until: standing.tier_valid_until.map(Timestamp::micros),
            tier_policy: standing.tier_policy,
            earned_tier: standing.earned_tier.as_deref(),
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(json_list(&rows))
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
    /// The version of the policy it was decided under.
    pub tier_policy: i64,
    /// The tier earned then.
    pub earned_tier: Option<String>,
    /// The version that holds at the instant it was read for.
    pub policy_version: i64,
    /// The tier given by hand, if any.
    #[sqlx(flatten)]
    pub tier_override: OpenColumns,
}

/// The stored tiers of customers, without those that are no members, in any order.
pub async fn list_tiers(
    db: &mut impl Access,
    program_id: &str,
    customer_ids: &[&str],
    as_of: Timestamp,
) -> Result<Vec<StoredTier>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT m.customer_id, c.revision, m.tier, m.tier_points, m.tier_since, m.tier_valid_until,
                   m.tier_policy, m.earned_tier,
                   (
                       SELECT COALESCE(MAX(version), 1)
                       FROM tier_policies
                       WHERE program_id = $1 AND effective_at <= $3
                   ) AS policy_version,
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
                   m.tier_policy, m.earned_tier,
                   (
                       SELECT COALESCE(MAX(version), 1)
                       FROM tier_policies
                       WHERE program_id = $1 AND effective_at <= $3
                   ) AS policy_version,
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
        .bind(as_of)
        .fetch_all(conn)
        .await)?)
}
