//! Members' tiers as stored, for those who read nothing else.

use common::db::{Access, Sql};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use crate::store::tier_overrides::OpenColumns;

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

/// The statement; the databases take a list of customers apart each in its way.
macro_rules! select {
    ($customer_ids:literal) => {
        concat!(
            "
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
                AND m.customer_id IN (",
            $customer_ids,
            ")"
        )
    };
}

/// The stored tiers of customers, without those that are no members, in any order.
pub async fn list_tiers(
    db: &mut impl Access,
    program_id: &str,
    customer_ids: &[&str],
    as_of: Timestamp,
) -> Result<Vec<StoredTier>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: select!("SELECT json_array_elements_text(CAST($2 AS json))"),
        sqlite: select!("SELECT value FROM json_each($2)"),
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as::<_, StoredTier>(text)
        .bind(program_id)
        .bind(common::db::json_list(customer_ids))
        .bind(as_of)
        .fetch_all(conn)
        .await)?)
}
