//! Tiers given by hand: appended, and ended once.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Deserialize;

use crate::domain::overrides::TierOverride;

/// The columns of a member's open override, all absent where there is none. Whether it has run out is for the
/// reader to say.
#[derive(Debug, Clone, Default, sqlx::FromRow, Deserialize)]
pub struct OpenColumns {
    #[sqlx(rename = "override_revision")]
    revision: Option<i64>,
    #[sqlx(rename = "override_tier")]
    tier: Option<String>,
    #[sqlx(rename = "override_actor")]
    actor: Option<String>,
    #[sqlx(rename = "override_reason")]
    reason: Option<String>,
    #[sqlx(rename = "override_created_at")]
    created_at: Option<Timestamp>,
    #[sqlx(rename = "override_expires_at")]
    expires_at: Option<Timestamp>,
}

impl OpenColumns {
    /// The override with its revision.
    pub fn found(self) -> Option<(i64, TierOverride)> {
        let found = TierOverride {
            tier: self.tier?,
            actor: self.actor?,
            reason: self.reason?,
            created_at: self.created_at?,
            ends_at: self.expires_at,
        };
        Some((self.revision?, found))
    }

    /// What would be read after this override was inserted.
    pub fn inserted(revision: i64, given: TierOverride) -> Self {
        Self {
            revision: Some(revision),
            tier: Some(given.tier),
            actor: Some(given.actor),
            reason: Some(given.reason),
            created_at: Some(given.created_at),
            expires_at: given.ends_at,
        }
    }
}

/// An override to append.
pub struct NewOverride<'a> {
    /// Whose.
    pub customer_id: &'a CustomerId,
    /// In which program.
    pub program_id: &'a str,
    /// The customer's revision with it.
    pub revision: i64,
    /// What is given.
    pub given: &'a TierOverride,
}

/// Appends an override. The one before must have ended.
pub async fn insert(tx: &mut Tx, new: NewOverride<'_>) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO tier_overrides
            (customer_id, revision, program_id, tier, actor, reason, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let given = new.given;
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(new.customer_id)
        .bind(new.revision)
        .bind(new.program_id)
        .bind(&given.tier)
        .bind(&given.actor)
        .bind(&given.reason)
        .bind(given.created_at)
        .bind(given.ends_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Ends an open override.
pub async fn end(
    tx: &mut Tx,
    customer_id: &CustomerId,
    revision: i64,
    ended_at: Timestamp,
) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE tier_overrides
        SET ended_at = $3
        WHERE customer_id = $1 AND revision = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(customer_id)
        .bind(revision)
        .bind(ended_at)
        .execute(conn)
        .await
        .map(drop))?)
}

/// The override that wins at an instant, by what is known now.
pub async fn find_at(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    as_of: Timestamp,
) -> Result<Option<TierOverride>, common::Error> {
    const SELECT: &str = "
        SELECT tier, actor, reason, created_at, COALESCE(ended_at, expires_at)
        FROM tier_overrides
        WHERE customer_id = $1
            AND program_id = $2
            AND created_at <= $3
            AND (COALESCE(ended_at, expires_at) IS NULL OR COALESCE(ended_at, expires_at) > $3)
        ORDER BY created_at DESC, revision DESC
        LIMIT 1";
    type Row = (String, String, String, Timestamp, Option<Timestamp>);
    let row = on!(db, |conn| sqlx::query_as::<_, Row>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(as_of)
        .fetch_optional(conn)
        .await)?;
    Ok(
        row.map(|(tier, actor, reason, created_at, ends_at)| TierOverride {
            tier,
            actor,
            reason,
            created_at,
            ends_at,
        }),
    )
}

/// The overrides that win at an instant among neighbouring customers, by what is known now; of several of one
/// customer the last wins.
pub async fn list_at(
    db: &mut impl Access,
    program_id: &str,
    (first, last): (&CustomerId, &CustomerId),
    as_of: Timestamp,
) -> Result<Vec<(CustomerId, String)>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, tier
        FROM tier_overrides
        WHERE program_id = $1
            AND customer_id BETWEEN $2 AND $3
            AND created_at <= $4
            AND (COALESCE(ended_at, expires_at) IS NULL OR COALESCE(ended_at, expires_at) > $4)
        ORDER BY customer_id, created_at, revision";
    Ok(on!(db, |conn| sqlx::query_as::<_, (CustomerId, String)>(
        SELECT
    )
    .bind(program_id)
    .bind(first)
    .bind(last)
    .bind(as_of)
    .fetch_all(conn)
    .await)?)
}
